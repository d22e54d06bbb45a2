"""Steps that a GPU repeats by itself: recorded once as CUDA graphs, then replayed without the host launching kernels.

A recorded step repeats what the device did, under the same addresses. What the host decides must therefore be decided
before: the size of the batch, whether it has labels, and the coins that random streams toss. Each combination of these
is a *course* of the step with a recording of its own. All else that changes from step to step lies in tensors: the
positions of the batch, learning rates, random numbers (a graph moves its generators on).
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from chimeramix.streams import RandomStream, RunStreams

Course = tuple[int | bool, ...]
"""Size of the batch, whether it has labels, and the coins in their order."""
Replay = Callable[[], None]
Record = Callable[[Callable[[], None], list[torch.Generator]], Replay]
"""Does the work once and returns what does it again, with further numbers of the generators."""

_RUNS_BEFORE_RECORDING = 3
"""Of each course, kernel by kernel: libraries set themselves up, optimisers make their buffers, compilers compile."""


class RecordedSteps:
    """Takes steps like the function that it is given, of which it records every course.

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
        self._questions: dict[Course, tuple[RandomStream, float]] = {}  # which coin comes next, by the course so far
        self._runs: dict[Course, int] = {}
        self._recordings: dict[Course, tuple[Tensor, Replay]] = {}

    def __call__(self, index: Tensor, labelled: bool) -> None:
        course: Course = (len(index), labelled)
        while course in self._questions:
            stream, probability = self._questions[course]
            course = (*course, stream.toss(probability))
        if course in self._recordings:
            place, replay = self._recordings[course]
            place.copy_(index)
            replay()
            return
        if self._runs.get(course, 0) < _RUNS_BEFORE_RECORDING:
            course = self._follow(course, lambda: self._step(index, labelled))
            self._runs[course] = self._runs.get(course, 0) + 1
            return
        place, replays = index.clone(), []
        work = partial(self._step, place, labelled)
        self._follow(course, lambda: replays.append(self._record(work, self._streams.device_generators())))
        self._recordings[course] = place, replays[0]

    def _follow(self, course: Course, run: Callable[[], None]) -> Course:
        """Runs a step whose first coins were tossed already; returns the whole course that it took."""
        tossed = list(course[2:])

        def answer(stream: RandomStream, probability: float) -> bool:
            nonlocal course
            if tossed:
                return bool(tossed.pop(0))
            self._questions[course] = stream, probability
            coin = stream.toss(probability)
            course = (*course, coin)
            return coin

        with self._streams.answered(answer):
            run()
        return course


class CudaGraphs:
    """Records on the current CUDA stream, which must not be the default one. All recordings share their memory: they
    are replayed one after another, and none reads what another left behind."""

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
