"""Generators of training images: their networks and one training step each."""

from chimeramix.generators.networks import ChimeraNetwork, Decoder, Encoder, PatchDiscriminator

__all__ = ["ChimeraNetwork", "Decoder", "Encoder", "PatchDiscriminator"]
