"""What a run's mixer composes of training images as they are, and an account of what was composed of what."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from chimeramix.config.schema import Config
from chimeramix.data.segments import SubsetSegments
from chimeramix.data.subset import TrainingImages
from chimeramix.data.views import Augment, Normalize, Views
from chimeramix.errors import UserError
from chimeramix.mixing import GLICO, ChimeraMix, Mixer, SuperMix
from chimeramix.runs import build
from chimeramix.streams import RunStreams

_BATCH = 64


@dataclass(frozen=True)
class Compositions:
    """What a classifier gets of a generator.

    Attributes:
        images: `[M, 3, S, S]` uint8 on the CPU, at the data set's size.
        sources: `[M, n]` int64, the training images that each was made of, its own first; None where the generator
            keeps no account of them.
        masks: `[M, 1, h, w]` or `[M, n, h, w]` float32 on the CPU, as they were drawn (`chimeramix.types.Mask`); None
            for a mixer that draws none.
        shares: `[M]` float32 on the CPU, how far on the way from the first source to the second; None for a mixer that
            goes no such way.
    """

    images: Tensor
    sources: Tensor | None
    masks: Tensor | None = None
    shares: Tensor | None = None


def with_composing_mixer(config: Config, network: nn.Module) -> Config:
    """A generator's configuration with the mixer that uses it; where it names none for this kind of generator, with the
    kind's own mixer as it comes. Raises `UserError` for a generator whose images no mixer takes."""
    return dataclasses.replace(config, mixer=build.generating_mixer(config) or _usual_mixer(config, network))


class Composer:
    """The mixer of a run's configuration, at probability 1, on training images.

    Args:
        data: the run's training images.
        network: the generator, trained and frozen, on the device; None for a mixer that needs none.
        streams: all that is drawn.
        augmented: whether the run's `augment` changes the images first.

    Raises:
        UserError: for a mixer and a generator that don't fit.
    """

    def __init__(
        self,
        config: Config,
        data: TrainingImages,
        network: nn.Module | None,
        streams: RunStreams,
        device: torch.device,
        augmented: bool = False,
    ) -> None:
        group = config.mixer
        if "probability" in group:
            group = {**group, "probability": 1.0}
        config = dataclasses.replace(config, mixer=group)
        build.check_generator(config, network)
        source, size = data.source, data.source.image_size
        self._normalize = Normalize(source.mean, source.std, device)
        mask = build.mask_of(group)
        segments = None
        if mask is not None and mask.segmentation is not None:
            segments = SubsetSegments(
                data.images, size, mask.segmentation, source.mean, source.std, workers=0, device=device
            )
        subset = data.subset(size).to(device)
        augment: Augment = build.part(config, "augment")
        chosen = augment if augmented else _as_it_is
        self._views = Views(subset, chosen, self._normalize, streams["augment"], segments)
        self._augmented = Views(subset, augment, self._normalize, streams["augment"])
        self.mixer: Mixer = build.mixer(config, self._views, streams, len(data.classes), network)
        self._drawn: list[Tensor] = []
        if self.mixer.partners is not None:
            _note(self.mixer.partners, "index", self._drawn)
        self._masks: list[Tensor] = []
        if isinstance(self.mixer, ChimeraMix):
            _note(self.mixer, "mask", self._masks)
        self._shares: list[Tensor] = []
        if isinstance(self.mixer, GLICO):
            _note(self.mixer, "draw_shares", self._shares)
        self._order = streams["order"]

    def compose(self, count: int) -> Compositions:
        """Compositions of training images, each of which is as often the first as any other, to within one."""
        return self.compose_of(self._positions(count))

    @torch.no_grad()
    def compose_of(self, first: Tensor) -> Compositions:
        """A composition of each of these training images `[M]`, positions in the subset, with others of its class."""
        parts = [self._batch(index) for index in first.to(self._views.subset.images.device).split(_BATCH)]
        fields = (field.name for field in dataclasses.fields(Compositions))
        return Compositions(**{name: _together([getattr(part, name) for part in parts]) for name in fields})

    def _batch(self, index: Tensor) -> Compositions:
        for noted in (self._drawn, self._masks, self._shares):
            noted.clear()
        mixed, _ = self.mixer.mix(self._views(index))
        sources = None
        if self._drawn:
            # Several partners of each stand one after another: all first ones, then all second ones.
            partners = torch.cat(self._drawn).view(-1, len(index))
            sources = torch.cat([index[None], partners]).T.cpu()
        masks = self._masks[0].cpu() if self._masks else None
        shares = self._shares[0].flatten().expand(len(index)).cpu() if self._shares else None
        return Compositions(self.pixels(mixed), sources, masks, shares)

    def augmented(self, count: int) -> Tensor:
        """Training images as the run's `augment` changes them, `[count, 3, S, S]` uint8."""
        parts = [self.pixels(self._augmented(index).images) for index in self._positions(count).split(_BATCH)]
        return torch.cat(parts)

    def pixels(self, images: Tensor) -> Tensor:
        """Normalised images as uint8 on the CPU."""
        return (self._normalize.inverse(images.float()).clamp(0, 1) * 255).round().byte().cpu()

    def normalised(self, images: Tensor) -> Tensor:
        """uint8 images `[B, 3, S, S]` as the mixer takes them, on its device."""
        return self._normalize(images.to(self._views.subset.images.device))

    def _positions(self, count: int) -> Tensor:
        number = len(self._views.subset)
        rounds = [self._order.permutation(number) for _ in range(-(-count // number))]
        return torch.cat(rounds)[:count]


def _note(owner: Any, name: str, noted: list[Tensor]) -> None:
    """Keeps an account of what a callable attribute of this object returns, whoever calls it."""
    draw = getattr(owner, name)

    def drawn(*arguments: Any, **keywords: Any) -> Tensor:
        noted.append(draw(*arguments, **keywords))
        return noted[-1]

    if isinstance(draw, nn.Module):  # such as one's own mask: no function may replace it
        delattr(owner, name)
    setattr(owner, name, drawn)


def _together(parts: list[Any]) -> Any:
    return None if any(part is None for part in parts) else torch.cat(parts)


def _as_it_is(images: Tensor, segments: Tensor | None, rng: object) -> tuple[Tensor, Tensor | None]:
    return images, segments


def _usual_mixer(config: Config, network: nn.Module) -> dict[str, Any]:
    for kind in (ChimeraMix, GLICO, SuperMix):
        try:
            kind.check_generator(network)
        except ValueError:
            continue
        mask = {"mask": config.generator["mask"]} if kind is ChimeraMix else {}
        return {"_target_": f"chimeramix.mixing.{kind.__name__}", "probability": 1.0, **mask}
    raise UserError(f"no mixer is known that takes a generator like {config.generator['_target_']}: set mixer=NAME")
