"""Names that parts had in configuration files of earlier versions.

Whoever moves or renames a part adds a line here: identities keep the first name, and old files can still be read.
"""

from typing import Any

FIRST_TARGETS = {
    "chimeramix.augment.AutoAugment": "chimeramix.augment.policies.AutoAugment",
    "chimeramix.augment.Compose": "chimeramix.augment.compose.Compose",
    "chimeramix.augment.Cutout": "chimeramix.augment.erasing.Cutout",
    "chimeramix.augment.FlipCrop": "chimeramix.augment.flip_crop.FlipCrop",
    "chimeramix.augment.RandomErasing": "chimeramix.augment.erasing.RandomErasing",
    "chimeramix.augment.TrivialAugment": "chimeramix.augment.policies.TrivialAugment",
    "chimeramix.data.CIFAR10": "chimeramix.data.cifar.CIFAR10",
    "chimeramix.data.CIFAR100": "chimeramix.data.cifar.CIFAR100",
    "chimeramix.data.CiFAIR10": "chimeramix.data.cifar.CiFAIR10",
    "chimeramix.data.CiFAIR100": "chimeramix.data.cifar.CiFAIR100",
    "chimeramix.data.Digits": "chimeramix.data.digits.Digits",
    "chimeramix.data.ImageFolder": "chimeramix.data.image_folder.ImageFolder",
    "chimeramix.data.STL10": "chimeramix.data.stl10.STL10",
    "chimeramix.generators.ChimeraGenerator": "chimeramix.generators.chimera.ChimeraTraining",
    "chimeramix.generators.GlicoGenerator": "chimeramix.generators.glico.GlicoTraining",
    "chimeramix.generators.PatchDiscriminator": "chimeramix.generators.networks.PatchDiscriminator",
    "chimeramix.generators.SuperMixGenerator": "chimeramix.generators.supermix.SuperMixTraining",
    "chimeramix.masks.GridMask": "chimeramix.masks.grid.GridMask",
    "chimeramix.masks.SegmentMask": "chimeramix.masks.segments.SegmentMask",
    "chimeramix.mixing.BoxMask": "chimeramix.mixing.cutmix.BoxHole",
    "chimeramix.mixing.ConstantMask": "chimeramix.mixing.mixup.ConstantHole",
    "chimeramix.mixing.FourierMask": "chimeramix.mixing.fmix.FourierHole",
    "chimeramix.mixing.GaussianMask": "chimeramix.mixing.gaussian.GaussianHole",
    "chimeramix.mixing.LatticeMask": "chimeramix.mixing.gridmix.LatticeHole",
    "chimeramix.mixing.MaskAugmentation": "chimeramix.mixing.HoleAugmentation",
    "chimeramix.training.Constant": "chimeramix.training.schedules.Constant",
    "chimeramix.training.Cosine": "chimeramix.training.schedules.Cosine",
    "chimeramix.training.MixMatch": "chimeramix.training.mixmatch.MixMatch",
    "chimeramix.training.MultiStep": "chimeramix.training.schedules.MultiStep",
}
"""The `_target_` under which a part was first known, by today's: identities keep it when a part is moved or renamed."""

LATER_KEYS: dict[str, dict[str, Any]] = {
    "chimeramix.data.ImageFolder": {"resize_to": None},
    "chimeramix.losses.SoftTargetCrossEntropy": {"label_smoothing": 0},
    "chimeramix.masks.GridMask": {"images": 2, "assign": "uniform", "concentration": 1},
    "chimeramix.masks.SegmentMask": {"images": 2, "assign": None, "concentration": 1},
}
"""Keys that a part's file got after people had runs of it, with the value that changes nothing: identities leave those
out, so that these runs are still found."""

_CURRENT_TARGETS = {first: current for current, first in FIRST_TARGETS.items()}


def with_current_targets(value: Any) -> Any:
    """The content of a configuration, whose files may be of an earlier version, with today's names of its parts."""
    if isinstance(value, dict):
        return {
            key: _CURRENT_TARGETS.get(item, item) if key == "_target_" else with_current_targets(item)
            for key, item in value.items()
        }
    return [with_current_targets(item) for item in value] if isinstance(value, list) else value
