"""Where a run computes and in which precision; never part of a run's identity."""

import ctypes
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from chimeramix.errors import RunFailure, UserError

_THREADS_PER_CPU = 4  # more can only slow a run down, and OpenMP ends the process where it can't start them
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Machine:
    """The device and the arithmetic of a run.

    Attributes:
        device: where images, weights and random streams live.
        precision: `fp32`; `tf32`, with which a CUDA GPU rounds the factors of convolutions to 10 bits; or `bf16`/`fp16`
            for torch's autocast with float32 weights and losses.
        compile: `True` sends networks through `torch.compile`; `"graphs"` records whole steps as CUDA graphs; `"full"`
            does both; False neither.
        threads: CPU threads of an operation; None leaves PyTorch's choice.
    """

    device: torch.device
    precision: str = "fp32"
    compile: bool | str = False
    threads: int | None = None

    @classmethod
    def choose(cls, device: str, precision: str, compile: bool | str = False, threads: int | None = None) -> "Machine":
        """Reads `machine.device`, `machine.precision` and `machine.compile`, whose values the configuration checks;
        raises `UserError` for what this machine does not have.

        `auto` takes the first of a CUDA GPU, Apple's GPU and the CPU. The automatic precision is fp32, on a CUDA GPU
        tf32, which is PyTorch's own default for convolutions there. Without `threads`, a Slurm job takes as many as it
        has CPUs (PyTorch would take all of the node's), unless OMP_NUM_THREADS says otherwise.
        """
        found = _find_device(device)
        if precision == "auto":
            precision = "tf32" if found.type == "cuda" else "fp32"
        if precision == "tf32" and found.type != "cuda":
            raise UserError(f"machine.precision=tf32 needs a CUDA GPU, this run computes on {found.type}; choose fp32")
        if compile in ("graphs", "full") and found.type != "cuda":
            raise UserError(
                f"machine.compile={compile} needs a CUDA GPU, this run computes on {found.type}; choose true or false"
            )
        allotted = allotted_cpus()
        if threads is not None and threads > (most := _THREADS_PER_CPU * (os.cpu_count() or 1)):
            raise UserError(f"machine.threads={threads}: must be at most {most}, {_THREADS_PER_CPU} for each CPU")
        if threads is None and allotted is not None and "OMP_NUM_THREADS" not in os.environ:
            threads = min(allotted, torch.get_num_threads())
        return cls(found, precision, compile, threads)

    @property
    def memory_format(self) -> torch.memory_format:
        """How a classifier's weights, and with them its feature maps, lie in memory: channels last where convolutions
        are faster so (on a CPU 1.03 to 1.07 times; the generator is not, because of its instance norms)."""
        without_tensor_cores = self.device.type == "cuda" and self.precision == "fp32"
        plain = self.device.type == "mps" or without_tensor_cores
        return torch.contiguous_format if plain else torch.channels_last

    def compile_networks(self, *networks: torch.nn.Module) -> None:
        """Has them compiled when they are first called, where `machine.compile` says so."""
        if self.compile in (True, "full"):
            for network in networks:
                network.compile(dynamic=False)  # once for each of the few batch sizes, which is faster

    def emulation(self) -> str | None:
        """A line to log before a training, where a CPU has no instructions for this precision and emulates it; None
        where it has, where that is not known, and on other devices."""
        if self.precision not in _DTYPES or self.device.type != "cpu" or _has_convolutions_in(self.precision):
            return None
        return (
            f"machine.precision={self.precision}: this CPU has no instructions for it, so training takes many times as "
            "long as with machine.precision=auto"
        )

    @property
    def records(self) -> bool:
        """Whether whole steps are recorded as CUDA graphs."""
        return records(self.compile)

    @contextmanager
    def own_stream(self) -> Iterator[None]:
        """A CUDA stream of its own, where steps are recorded: CUDA can't record on the default one."""
        if not self.records or self.device.type != "cuda":
            yield
            return
        outer, own = torch.cuda.current_stream(self.device), torch.cuda.Stream(self.device)
        own.wait_stream(outer)
        with torch.cuda.device(self.device), torch.cuda.stream(own):
            yield
        outer.wait_stream(own)

    def autocast(self) -> AbstractContextManager[object]:
        dtype = _DTYPES.get(self.precision)
        kind = self.device.type if self.device.type != "meta" else "cpu"
        return torch.autocast(kind, dtype=dtype, enabled=dtype is not None)

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling, needed by fp16 only: its gradients underflow."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    def describe(self) -> str:
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"{self.device.type} ({platform.processor() or platform.machine()}, {torch.get_num_threads()} threads)"

    def record(self) -> dict[str, Any]:
        """What the numbers of a process depend on, in a run's record."""
        if self.device.type == "cuda":
            device = torch.cuda.get_device_name(self.device)
        else:
            device = f"{self.device.type} ({platform.processor() or platform.machine()})"
        threads = torch.get_num_threads()
        return {"device": device, "precision": self.precision, "compile": self.compile, "threads": threads}

    def make_reproducible(self) -> None:
        """Settings under which the same configuration, seed and machine give the same bits."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = False
            torch.backends.cudnn.deterministic = True
            with warnings.catch_warnings():  # newer setters exist beside these, and differ between versions
                warnings.simplefilter("ignore")
                torch.backends.cudnn.allow_tf32 = self.precision == "tf32"
                torch.backends.cuda.matmul.allow_tf32 = False
        elif self.device.type == "cpu":
            _keep_freed_memory()


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turns what PyTorch, NumPy and Python say of too little memory into one `RunFailure`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        said = str(error).partition("\n")[0] or type(error).__name__
        raise RunFailure(
            f"out of memory: choose a smaller batch_size, model or image size, or another machine ({said})"
        ) from error


def records(compile: bool | str) -> bool:
    """Whether this value of `machine.compile` records whole steps."""
    return compile in ("graphs", "full")


def check_recordable(compile: bool | str, group: str, part: object) -> None:
    """Raises `UserError` where steps are to be recorded and a part decides on the host what a step does."""
    if records(compile) and not getattr(part, "recordable", True):
        raise UserError(
            f"machine.compile={compile} records steps, which this {group} decides on the host each time: use "
            "machine.compile=true or false"
        )


def allotted_cpus() -> int | None:
    """CPUs that Slurm gave to this process' job; None outside one, or where it doesn't say."""
    allotted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return int(allotted) if allotted.isdecimal() else None


def _has_convolutions_in(precision: str) -> bool:
    """Whether oneDNN computes convolutions of this half precision on the CPU: PyTorch leaves it otherwise, for loops
    many times slower. True without oneDNN, where nothing tells."""
    if not torch.backends.mkldnn.is_available():
        return True
    return bool(getattr(torch.ops.mkldnn, f"_is_mkldnn_{precision}_supported")())  # what torch.compile asks, too


def _find_device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"machine.device={name}: choose auto, cpu, cuda, cuda:1 or mps") from None
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if not torch.cuda.is_available() or (device.index or 0) >= count:
            found = f"{count} CUDA GPU{'s' if count != 1 else ''}" if count else "no CUDA GPU"
            raise UserError(f"machine.device={name}: this machine has {found}; use machine.device=auto or cpu")
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise UserError("machine.device=mps: this machine has no Apple GPU; use machine.device=auto or cpu")
    elif device.type != "cpu":
        raise UserError(f"machine.device={name}: choose auto, cpu, cuda, cuda:1 or mps")
    return device


def _keep_freed_memory() -> None:
    """Tells glibc to keep large freed blocks: it returns them to the kernel after every use otherwise, and paging
    them in again takes half of the generator's step at batch 64 on a CPU."""
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # names of mallopt(3)
    libc = ctypes.CDLL(None)
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, -1)  # never: 2^31 - 1, the largest threshold, is less than a step frees
    libc.mallopt(top_pad, 256 * 2**20)
