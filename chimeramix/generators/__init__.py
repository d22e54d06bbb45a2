"""Generators of training images: their networks and one training step each."""

from chimeramix.generators.base import Generator
from chimeramix.generators.chimera import ChimeraGenerator
from chimeramix.generators.glico import GlicoGenerator
from chimeramix.generators.networks import ChimeraNetwork, Decoder, Encoder, PatchDiscriminator
from chimeramix.generators.supermix import SuperMixGenerator

__all__ = [
    "ChimeraGenerator",
    "ChimeraNetwork",
    "Decoder",
    "Encoder",
    "Generator",
    "GlicoGenerator",
    "PatchDiscriminator",
    "SuperMixGenerator",
]
