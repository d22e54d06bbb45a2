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


SMALLEST_CONCENTRATION = 0.01
"""Of Beta and Dirichlet draws: below, their Gamma draws underflow, and draws that should be 0 or 1 become 1/2."""


Answer = Callable[["RandomStream", float], bool]
"""Decides a coin of the given probability in place of its stream."""


class RandomStream:
    """Two generators of one seed: `host` decides what the program does next (a coin whether to mix, the order of an
    epoch), `device` draws the numbers that tensors need, on the device where they are needed and thus without a
    synchronisation. On a CPU both are one generator.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        device = torch.device(device)
        self.answer: Answer | None = None
        self.host = torch.Generator().manual_seed(seed)
        self.device = self.host if device.type == "cpu" else torch.Generator(device).manual_seed(seed)

    def coin(self, probability: float) -> bool:
        """True with the given probability, for what the program does next."""
        return self.toss(probability) if self.answer is None else self.answer(self, probability)

    def toss(self, probability: float) -> bool:
        """One host draw whatever the probability, so that streams stay comparable."""
        return bool(torch.rand((), generator=self.host) < probability)

    def uniform(self, *shape: int) -> torch.Tensor:
        """float32 in [0, 1) on the device."""
        return torch.rand(*shape, generator=self.device, device=self.device.device)

    def integers(self, high: int, *shape: int) -> torch.Tensor:
        """int64 in 0..high-1 on the device."""
        return torch.randint(high, shape, generator=self.device, device=self.device.device)

    def normal(self, *shape: int) -> torch.Tensor:
        """float32, standard normal, on the device."""
        return torch.randn(*shape, generator=self.device, device=self.device.device)

    def permutation(self, count: int) -> torch.Tensor:
        """0..count-1 in random order, int64 on the device."""
        return torch.randperm(count, generator=self.device, device=self.device.device)

    def dirichlet(self, concentration: torch.Tensor) -> torch.Tensor:
        """float32 on the device, like `concentration` `[..., n]`, whose last axis holds the parameters of one draw, at
        least `SMALLEST_CONCENTRATION`, or 0 for a part of exactly 0. The parts of a draw sum to 1."""
        # Normalised Gamma draws. torch.distributions takes no generator; the sampler beneath it, used here, does.
        # float64, since draws of small parameters (0.01) underflow in float32, and of smaller ones in float64, too.
        # Apple's GPUs have neither this sampler nor float64: draws for them come from the host.
        generator = self.host if self.device.device.type == "mps" else self.device
        concentration = concentration.to(generator.device, torch.float64)
        absent = concentration == 0
        parts = torch._standard_gamma(concentration.masked_fill(absent, 1), generator=generator)
        parts = parts.masked_fill(absent, 0)
        return (parts / parts.sum(-1, keepdim=True)).float().to(self.device.device)

    def beta(self, alpha: float, count: int) -> torch.Tensor:
        """`[count]` float32 from Beta(alpha, alpha), on the device."""
        return self.dirichlet(torch.full((count, 2), alpha, device=self.device.device))[:, 0]

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"host": self.host.get_state(), "device": self.device.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.host.set_state(state["host"])
        self.device.set_state(state["device"])


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
