"""Seeded random streams: everything random in a run comes from one of these, and a checkpoint holds them all."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


def derive_seed(seed: int, purpose: str) -> int:
    """A 63-bit seed for one purpose ("weights", "order", ...): streams of one run share no numbers, and neighbouring
    run seeds give unrelated streams."""
    digest = hashlib.sha256(f"{purpose}/{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def may_look(values: torch.Tensor) -> bool:
    """Whether reading the tensor's values needs no host synchronisation."""
    return values.device.type == "cpu"


SMALLEST_CONCENTRATION = 0.01
"""Of Beta and Dirichlet draws: below, their Gamma draws underflow, and draws that should be 0 or 1 become 1/2."""


Answer = Callable[["RandomStream", float], bool]
"""Decides a coin of the given probability in place of its stream."""


class RandomStream:
    """Two generators of one seed: `host` decides what the program does next (a coin whether to mix, the order of an
    epoch), `device` draws the numbers that tensors need, on the device where they are needed and thus without a
    synchronisation. On a CPU both are one generator.

    Streams can be pickled and copied; a copy goes on from the same numbers.
    """

    in_graph = False
    """Whether draws are part of a graph that `torch.compile` makes: then no code may branch on them."""

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.place = torch.device(device)
        self.answer: Answer | None = None
        self.host = torch.Generator().manual_seed(seed)
        self.device = self.host if self.place.type == "cpu" else torch.Generator(self.place).manual_seed(seed)

    def on(self, device: torch.device) -> "RandomStream":
        """The stream that draws for a batch on this device: itself, wherever the batch is."""
        return self

    def restart(self, seed: int) -> None:
        """Goes on as a new stream of this seed would."""
        self.host.manual_seed(seed)
        if self.device is not self.host:
            self.device.manual_seed(seed)

    def coin(self, probability: float) -> bool:
        """True with the given probability, for what the program does next."""
        return self.toss(probability) if self.answer is None else self.answer(self, probability)

    def toss(self, probability: float) -> bool:
        """One host draw whatever the probability, so that streams stay comparable."""
        return bool(torch.rand((), generator=self.host, dtype=torch.float32, device="cpu") < probability)

    def uniform(self, *shape: int) -> torch.Tensor:
        """float32 in [0, 1) on the device."""
        return torch.rand(*shape, generator=self.device, dtype=torch.float32, device=self.place)

    def integers(self, high: int, *shape: int) -> torch.Tensor:
        """int64 in 0..high-1 on the device."""
        return torch.randint(high, shape, generator=self.device, device=self.place)

    def normal(self, *shape: int) -> torch.Tensor:
        """float32, standard normal, on the device."""
        return torch.randn(*shape, generator=self.device, dtype=torch.float32, device=self.place)

    def permutation(self, count: int) -> torch.Tensor:
        """0..count-1 in random order, int64 on the device."""
        return torch.randperm(count, generator=self.device, device=self.place)

    def dirichlet(self, concentration: torch.Tensor) -> torch.Tensor:
        """float32 on the device, like `concentration` `[..., n]`, whose last axis holds the parameters of one draw, at
        least `SMALLEST_CONCENTRATION`, or 0 for a part of exactly 0. The parts of a draw sum to 1."""
        # Normalised Gamma draws. torch.distributions takes no generator; the sampler beneath it, used here, does.
        # float64, since draws of small parameters (0.01) underflow in float32, and of smaller ones in float64, too.
        # Apple's GPUs have neither this sampler nor float64: draws for them come from the host.
        on_host = self.place.type == "mps"
        concentration = concentration.to("cpu" if on_host else self.place, torch.float64)
        absent = concentration == 0
        parts = torch._standard_gamma(
            concentration.masked_fill(absent, 1), generator=self.host if on_host else self.device
        )
        parts = parts.masked_fill(absent, 0)
        return (parts / parts.sum(-1, keepdim=True)).float().to(self.place)

    def beta(self, alpha: float, count: int) -> torch.Tensor:
        """`[count]` float32 from Beta(alpha, alpha), on the device."""
        return self.dirichlet(torch.full((count, 2), alpha, dtype=torch.float32, device=self.place))[:, 0]

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"host": self.host.get_state(), "device": self.device.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.host.set_state(state["host"])
        self.device.set_state(state["device"])

    def __getstate__(self) -> dict[str, Any]:
        # A torch.Generator can't be pickled; its state can, and as bytes it needs no file descriptor when it is sent to
        # another process. Not `answer`: it belongs to a recording in this process.
        states = {name: bytes(state.tolist()) for name, state in self.state_dict().items()}
        return {"place": self.place, "states": states}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self._start_at(saved["place"])
        states = {name: torch.tensor(list(state), dtype=torch.uint8) for name, state in saved["states"].items()}
        self.load_state_dict(states)

    def _start_at(self, place: torch.device) -> None:
        RandomStream.__init__(self, 0, place)


class PortableStream(RandomStream):
    """A stream for batches on any device, one after another: a generator on the host draws all numbers on a CPU, and on
    other devices seeds a generator there for each batch.

    So its state is that of the host's generator alone, which any machine can load. On the CPU the numbers are those of
    a `RandomStream` of the same seed.

    Args:
        source: a seed, or a generator on the CPU to draw from.
    """

    def __init__(self, source: int | torch.Generator) -> None:
        super().__init__(0 if isinstance(source, torch.Generator) else source)
        if isinstance(source, torch.Generator):
            self.host = source
        self.device = self.host
        self._generators: dict[torch.device, torch.Generator] = {}

    def on(self, device: torch.device) -> "PortableStream":
        self.place = device
        if device.type == "cpu":
            self.device = self.host
            return self
        if device not in self._generators:
            self._generators[device] = torch.Generator(device)
        self.device = self._generators[device].manual_seed(draw_seed(self.host))
        return self

    def restart(self, seed: int) -> None:
        self.host.manual_seed(seed)  # a GPU's generator is seeded for each batch, and a forked process has no GPU

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"host": self.host.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.host.set_state(state["host"])

    def _start_at(self, place: torch.device) -> None:
        PortableStream.__init__(self, 0)


class GlobalStream(RandomStream):
    """Draws from torch's global generators: the only ones that `torch.compile` can have within a graph."""

    in_graph = True

    def __init__(self, device: torch.device) -> None:
        self.place = device
        self.answer = None
        self.host = self.device = None  # type: ignore[assignment]


def draw_seed(generator: torch.Generator | None = None) -> int:
    """A 63-bit seed from a generator on the CPU, by default torch's global one."""
    return int(torch.empty((), dtype=torch.int64, device="cpu").random_(generator=generator))


class RunStreams:
    """All streams of a run by purpose, and torch's global generators, from which dropout draws."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._device = device
        self._streams: dict[str, RandomStream] = {}
        torch.manual_seed(derive_seed(seed, "dropout"))

    def __getitem__(self, purpose: str) -> RandomStream:
        if purpose not in self._streams:
            self._streams[purpose] = RandomStream(derive_seed(self._seed, purpose), self._device)
        return self._streams[purpose]

    @contextmanager
    def answered(self, answer: Answer) -> Iterator[None]:
        """Within this context `answer` decides the coins of all streams; see `chimeramix.training.recording`."""
        for stream in self._streams.values():
            stream.answer = answer
        try:
            yield
        finally:
            for stream in self._streams.values():
                stream.answer = None

    @contextmanager
    def apart(self, purpose: str) -> Iterator[None]:
        """Within this context all streams, and torch's global generators, draw numbers of a purpose of its own, the
        same ones each time; afterwards they go on where they were."""
        before = self.state_dict()
        for name, stream in self._streams.items():
            other = RandomStream(derive_seed(self._seed, f"{purpose}/{name}"), self._device)
            stream.load_state_dict(other.state_dict())
        torch.manual_seed(derive_seed(self._seed, f"{purpose}/dropout"))
        try:
            yield
        finally:
            self.load_state_dict(before)

    def device_generators(self) -> list[torch.Generator]:
        """The generators of all streams that draw numbers on the device."""
        return [stream.device for stream in self._streams.values()]

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: stream.state_dict() for name, stream in self._streams.items()}
        state["global"] = torch.get_rng_state()
        if self._device.type == "cuda":
            state["global_cuda"] = torch.cuda.get_rng_state(self._device)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in state.keys() - {"global", "global_cuda"}:
            self[name].load_state_dict(state[name])  # also streams that have not been used yet
        torch.set_rng_state(state["global"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(state["global_cuda"], self._device)
