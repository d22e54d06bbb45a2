"""Steps that a GPU repeats by itself: recorded once as CUDA graphs, then replayed without the host launching kernels.

A recorded step repeats what the device did, under the same addresses. What the host decides must therefore be decided
before: the size of the batch, whether it has labels, and the coins that random streams toss. Each combination of these
is a *variant* of the step with a recording of its own. All else that changes from step to step lies in tensors: the
positions of the batch, learning rates, random numbers (a graph moves its generators on).
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from chimeramix.streams import RandomStream, RunStreams

Variant = tuple[int | bool, ...]
"""Size of the batch, whether it has labels, and the coins in their order."""
Replay = Callable[[], None]
Record = Callable[[Callable[[], None], list[torch.Generator]], Replay]
"""Does the work once and returns a function that repeats it with the generators' next numbers."""

_RUNS_BEFORE_RECORDING = 3
"""Of each variant, kernel by kernel: libraries set themselves up, optimisers make their buffers, compilers compile."""


class RecordedSteps:
    """Takes steps like the function that it is given, and records every variant of them.

    Args:
        step: `(index [B] int64, labelled)`; works on the device alone and reads nothing back.
        streams: all random streams that the step draws from.
        record: see `Record`.
    """

    def __init__(
        self,
        step: Callable[[Tensor, bool], None],
        streams: RunStreams,
        record: Record,
    ) -> None:
        self._step = step
        self._streams = streams
        self._record = record
        self._questions: dict[Variant, tuple[RandomStream, float]] = {}  # which coin comes next, by the variant so far
        self._runs: dict[Variant, int] = {}
        self._recordings: dict[Variant, tuple[Tensor, Replay]] = {}

    def __call__(self, index: Tensor, labelled: bool) -> None:
        variant: Variant = (len(index), labelled)
        while variant in self._questions:
            stream, probability = self._questions[variant]
            variant = (*variant, stream.toss(probability))
        if variant in self._recordings:
            place, replay = self._recordings[variant]
            place.copy_(index)
            replay()
            return
        if self._runs.get(variant, 0) < _RUNS_BEFORE_RECORDING:
            variant = self._follow(variant, lambda: self._step(index, labelled))
            self._runs[variant] = self._runs.get(variant, 0) + 1
            return
        place, replays = index.clone(), []
        work = partial(self._step, place, labelled)
        self._follow(variant, lambda: replays.append(self._record(work, self._streams.device_generators())))
        self._recordings[variant] = place, replays[0]

    def _follow(self, variant: Variant, run: Callable[[], None]) -> Variant:
        """Runs a step whose first coins were tossed already; returns the variant that it took, with all its coins."""
        tossed = list(variant[2:])

        def answer(stream: RandomStream, probability: float) -> bool:
            nonlocal variant
            if tossed:
                return bool(tossed.pop(0))
            self._questions[variant] = stream, probability
            coin = stream.toss(probability)
            variant = (*variant, coin)
            return coin

        with self._streams.answered(answer):
            run()
        return variant


class CudaGraphs:
    """Records on the current CUDA stream, which must not be the default one. All recordings share their memory: they
    are replayed one after another, and none reads what another has left there."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Callable[[], None], generators: list[torch.Generator]) -> Replay:
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, pool=self._pool, stream=torch.cuda.current_stream()):
            work()
        graph.replay()  # recording alone computes nothing
        return graph.replay
