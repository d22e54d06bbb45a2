"""What every mixer has in common."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import get_worker_info

from chimeramix.streams import GlobalStream, PortableStream, RandomStream, derive_seed, draw_seed
from chimeramix.types import Batch

_ANY_STATE = torch.Generator().get_state()


class Mixer(nn.Module):
    """Turns a batch into mixed images and soft targets, with a given probability per batch.

    A mixer is called as torchvision's `v2.MixUp` is: `images, targets = mixer(images, labels)`. Training loops of this
    package call `mix` with a whole `Batch`, which also holds where the images come from. A subclass implements
    `compose`.

    Nothing is mixed after `mixer.eval()`, nor while `mixer.mixup_enabled` is False. Gradients pass to the images and to
    soft labels, unless a class says otherwise.

    Args:
        num_classes: `K`.
        probability: share of batches that are mixed; the others pass unchanged with one-hot targets.
        rng: all random draws: a seed, or a generator on the CPU. None seeds it from torch's global generator when the
            first batch comes. In each worker of a `DataLoader` a mixer starts a stream of its own: from the worker's
            seed, which changes from epoch to epoch and follows `torch.manual_seed`, and from the mixer's, if it has
            one. (`RandomStream` is for training loops of this package.)

    `state_dict()` holds the random state as one tensor, so that a mixer goes on where it was saved, on any machine.
    """

    partners: Any = None
    """Draws same-class partners, for mixers that take class numbers alone; see `chimeramix.mixing.chimera.Partners`."""
    views: Callable[[Tensor], Batch] | None = None

    only_cuts: bool = False
    """Whether every pixel comes from one image or the other: then images may be uint8."""
    mixup_enabled: bool = True
    """False passes batches unchanged, as timm's `Mixup` does."""
    label_smoothing: float = 0.0
    """Share of each target that is spread over all classes when the mixer is called with class numbers."""

    if TYPE_CHECKING:

        def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]: ...

    def __init__(
        self, num_classes: int, probability: float = 1.0, rng: RandomStream | torch.Generator | int | None = None
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must be in [0, 1], got {probability}")
        self.num_classes = num_classes
        self.probability = probability
        self.rng = _stream_of(rng)
        self._seed = None if self.rng is None else self.rng.host.initial_seed()
        self._worker: int | None = None  # seed of the worker process that the stream was made in

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mixes a batch, drop-in where torchvision's `v2.MixUp` and `v2.CutMix` stand.

        Args:
            images: `[B, C, H, W]` float of any precision, normalised or not, or uint8 where the mixer `only_cuts`; not
                changed.
            labels: `[B]` int64 class numbers or `[B, K]` float whose rows sum to 1.

        Returns:
            Images of the same shape and dtype, and targets `[B, K]` float32 whose rows sum to 1.

        Raises:
            ValueError: for other shapes or dtypes.
        """
        images, targets = self.mix(self.batch_of(images, labels))
        return images, self.smooth(targets, labels)

    def smooth(self, targets: Tensor, labels: Tensor) -> Tensor:
        """Targets with `label_smoothing`; those made from soft labels stay as they are."""
        if labels.is_floating_point() or not self.label_smoothing:
            return targets
        return torch.lerp(targets, torch.full_like(targets, 1 / self.num_classes), self.label_smoothing)

    def batch_of(self, images: Tensor, labels: Tensor) -> Batch:
        """The batch of these images and labels. Raises `ValueError`, see `forward`."""
        bytes_too = self.only_cuts or not self.active
        if images.ndim != 4 or not (images.is_floating_point() or (bytes_too and images.dtype == torch.uint8)):
            raise ValueError(
                f"images must be a float tensor [batch, channels, height, width]"
                f"{', or uint8,' if bytes_too else ''} got {images.dtype} {list(images.shape)}"
            )
        soft = labels.is_floating_point()
        if soft and labels.shape != (len(images), self.num_classes):
            raise ValueError(
                f"soft labels must be [batch, classes] = {[len(images), self.num_classes]}, got {list(labels.shape)}"
            )
        if not soft and (labels.shape != (len(images),) or labels.dtype != torch.int64):
            raise ValueError(
                f"labels must be int64 class numbers [batch] = [{len(images)}] or floats [batch, classes], "
                f"got {labels.dtype} {list(labels.shape)}"
            )
        return Batch(images, labels)

    @property
    def active(self) -> bool:
        """Whether batches are mixed at all: in training mode, unless `mixup_enabled` is False."""
        return self.training and self.mixup_enabled

    def mix(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The same for a batch."""
        if not self.active:
            return batch.images, self.targets(batch.labels)
        return self.mix_batch(batch)

    def mix_batch(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mixes a batch or leaves it; one draw decides for all of its images."""
        rng = self.stream(batch.images.device)
        if rng.in_graph:
            return self._in_graph(batch, rng)
        if not rng.coin(self.probability):
            return batch.images, self.targets(batch.labels)
        return self.compose(batch, rng)

    def _in_graph(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor]:
        """The same where `torch.compile` wants one graph, in which nothing can branch on a draw."""
        images, targets = self.compose(batch, rng)
        if self.probability == 1:
            return images, targets
        mixed = rng.uniform(1) < self.probability
        return torch.where(mixed, images, batch.images), torch.where(mixed, targets, self.targets(batch.labels))

    def stream(self, device: torch.device) -> RandomStream:
        """The mixer's random stream, for a batch on this device."""
        if self._seed is None and torch.compiler.is_compiling():
            return GlobalStream(device)
        worker = get_worker_info()
        if worker is not None and worker.seed != self._worker:
            # Workers begin as copies of one mixer. The global generator has the worker's seed already.
            seed = draw_seed() if self._seed is None else derive_seed(worker.seed, f"mixer/{self._seed}")
            self.rng, self._worker = self.rng or PortableStream(0), worker.seed
            self.rng.restart(seed)  # the same object, from which same-class partners may be drawn, too
        if self.rng is None:
            self.rng = PortableStream(draw_seed())
        return self.rng.on(device)

    def _seed_parts(self, parts: Iterable["Mixer"]) -> None:
        """Draws seeds from the random state of a seeded mixer for those in it that have none. (Training loops of this
        package hand a stream to each.)"""
        if not isinstance(self.rng, PortableStream):
            return
        for mixer in parts:
            for part in mixer.modules():
                if isinstance(part, Mixer) and part._seed is None:
                    part._seed = draw_seed(self.rng.host)
                    part.rng = PortableStream(part._seed)

    def get_extra_state(self) -> Tensor:
        """uint8: the state of the host's generator, then that of a GPU's if a `RandomStream` was given. Before the
        first batch of an unseeded mixer as many zeros, so that averages of a model's state fit whenever they began."""
        states = [torch.zeros_like(_ANY_STATE)] if self.rng is None else list(self.rng.state_dict().values())
        return states[0] if len(states) == 1 or torch.equal(*states) else torch.cat(states)

    def set_extra_state(self, state: Any) -> None:
        """Continues from the saved host generator, which draws the numbers on a CPU and seeds the generators of GPUs: a
        mixer that goes on on the same kind of device draws the numbers that the saved one would have drawn next.

        What follows the host's state, the GPU's of a `RandomStream`, only another `RandomStream` on a GPU can use: a
        mixer with its own seed leaves it out, and a `RandomStream` on a GPU that finds none seeds its GPU's generator
        from the host's. States of former versions were a dictionary of both, the seed, or None.
        """
        if isinstance(state, dict):
            same = torch.equal(state["host"], state["device"])
            state = state["host"] if same else torch.cat([state["host"].cpu(), state["device"].cpu()])
        if isinstance(state, int):
            self.rng = PortableStream(state)
        if not isinstance(state, Tensor) or len(state) == 0:
            return
        if len(state) == len(_ANY_STATE) and not state.any():  # nothing was drawn yet
            return
        if self.rng is None:
            self.rng = PortableStream(0)
        own, state = self.rng.state_dict(), state.cpu()
        size = len(own["host"])
        if len(state) < size:
            raise ValueError(f"a mixer's random state has at least {size} bytes, got {len(state)}")
        # Clones, because `set_state` crashes on slices.
        self.rng.host.set_state(state[:size].clone())
        if self.rng.device is not self.rng.host and "device" in own:
            if len(state) == size + len(own["device"]):
                self.rng.device.set_state(state[size:].clone())
            else:
                self.rng.device.manual_seed(draw_seed(self.rng.host))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        # Checkpoints of mixers without a random state can be loaded strictly: those mixers had none to miss.
        state_dict.setdefault(f"{prefix}_extra_state", torch.empty(0, dtype=torch.uint8))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def compose(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    @classmethod
    def check_generator(cls, generator: object) -> None:
        """Raises `ValueError` for a generator, trained or not, of a kind that this mixer can't use."""

    def check(self, image_size: int) -> None:
        """Raises `ValueError` where images of this side can't be mixed; for asking before a training starts."""

    def targets(self, labels: Tensor) -> Tensor:
        """`[B, K]` float32: soft labels as they are, class numbers one-hot."""
        if labels.is_floating_point():
            return labels.float()
        return F.one_hot(labels, self.num_classes).float()


def _stream_of(rng: RandomStream | torch.Generator | int | None) -> RandomStream | None:
    if rng is None or isinstance(rng, RandomStream):
        return rng
    if isinstance(rng, torch.Generator) and rng.device.type != "cpu":
        raise ValueError(f"rng must be a generator on the CPU, which seeds draws on other devices, got {rng.device}")
    if not isinstance(rng, torch.Generator | int) or isinstance(rng, bool):
        raise ValueError(f"rng must be a seed, a torch.Generator on the CPU or None, got {rng!r}")
    return PortableStream(rng)
