"""Felzenszwalb superpixels (Felzenszwalb & Huttenlocher 2004) of the subset's images, computed once and cached.

As in ChimeraMix (Reinders et al. 2022, section 3.2), the algorithm sees the normalised float image, in [-1, 1] for mean
and std 0.5. The range matters: scikit-image divides `scale` by 255 and takes floats as they are, so the same image in
[0, 1] has fewer segments. Deviation from the official code: segments are computed once, on the images before
augmentation, as the paper describes, and not again for every augmented image.
"""

import hashlib
import json
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property, partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from chimeramix.data.resize import resize
from chimeramix.errors import RunFailure, one_line
from chimeramix.files import write_atomically
from chimeramix.types import Segmentation

# Below this many pixels (10,000 images of 32 x 32, 1,000 of 96 x 96; 4 to 7 s in one process) starting processes
# costs more than it saves: 3 s on idle cores, 7 s on busy ones.
POOL_FROM = 10_000_000
CHUNK = 500  # images a process gets at a time


def segment(
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    scale: float,
    sigma: float,
    min_size: int,
    cache_dir: Path | None,
    workers: int,
) -> Tensor:
    """Superpixel labels of each image.

    Args:
        images: `[n, 3, S, S]` uint8.
        mean: Three channel means of the normalisation.
        std: Three channel standard deviations of the normalisation.
        scale: Larger means fewer and larger segments.
        sigma: Standard deviation in pixels of the Gaussian blur beforehand.
        min_size: Pixels below which a segment is merged with a neighbour.
        cache_dir: Where results are kept, or None; one that can't be written causes a warning only.
        workers: Processes for large sets; 0 and 1 stay in this one.

    Returns:
        `[n, S, S]` int16: labels 0, 1, ... within each image, in the order of their first pixels.

    Raises:
        ValueError: `images` isn't `[n, 3, S, S]` uint8, or an image has more than 32,767 segments.
    """
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ValueError(f"segment needs [n, 3, S, S] uint8, got {list(images.shape)} {images.dtype}")
    pixels = images.cpu().contiguous()
    parameters = {"scale": float(scale), "sigma": float(sigma), "min_size": int(min_size)}
    cache = None
    if cache_dir is not None:
        cache = cache_dir / f"segments-{_key(pixels, mean, std, parameters)}.npz"
        cached = _load(cache, (len(pixels), *pixels.shape[2:]))
        if cached is not None:
            return torch.from_numpy(cached)
    work = partial(_segment_chunk, mean=list(mean), std=list(std), parameters=parameters)
    # NumPy arrays, because tensors travel between processes through shared memory, which may be small in containers.
    chunks = [chunk.numpy() for chunk in pixels.split(CHUNK)]
    if workers > 1 and len(pixels) * pixels.shape[2] * pixels.shape[3] > POOL_FROM:
        # Spawned and not forked: a forked process may hang in the locks of torch's threads or of CUDA.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            labels = np.concatenate(list(pool.map(work, chunks)))
    else:
        labels = np.concatenate([work(chunk) for chunk in chunks])
    if cache is not None:
        _save(cache, labels)
    return torch.from_numpy(labels)


class SubsetSegments:
    """The superpixels of a subset's images for one mask, computed when they are first asked for.

    Args:
        images: `[N, 3, S, S]` uint8 on the CPU.
        size: side of the views that the mask will see; segments of another side are resized by nearest neighbour.
        segmentation: what the mask asks for.
        mean, std, cache_dir, workers: see `segment`.
        device: where the labels are needed.
    """

    def __init__(
        self,
        images: Tensor,
        size: int,
        segmentation: Segmentation,
        mean: Sequence[float],
        std: Sequence[float],
        cache_dir: Path | None = None,
        workers: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self._images = images
        self._size = size
        self.segmentation = segmentation
        self._normalisation = mean, std
        self._cache_dir = cache_dir
        self._workers = workers
        self._device = device

    @cached_property
    def labels(self) -> Tensor:
        """`[N, size, size]` int16 on the device."""
        wanted = self.segmentation
        labels = segment(
            resize(self._images, wanted.size or self._size),
            *self._normalisation,
            scale=wanted.scale,
            sigma=wanted.sigma,
            min_size=wanted.min_size,
            cache_dir=self._cache_dir,
            workers=self._workers,
        )
        if labels.shape[-1] != self._size:
            side = (self._size, self._size)
            resized = nn.functional.interpolate(labels[:, None].float(), size=side, mode="nearest")
            labels = resized[:, 0].to(labels.dtype)
        return labels.to(self._device)


def _segment_chunk(pixels: np.ndarray, mean: list[float], std: list[float], parameters: dict[str, float]) -> np.ndarray:
    from skimage.segmentation import felzenszwalb

    # float32 throughout, in the order of torchvision's to-tensor and normalise, which the official code uses.
    centre = torch.tensor(mean, dtype=torch.float32).view(3, 1, 1)
    spread = torch.tensor(std, dtype=torch.float32).view(3, 1, 1)
    normalised = (torch.from_numpy(pixels).float() / 255 - centre) / spread
    result = np.empty((len(pixels), *pixels.shape[2:]), dtype=np.int16)
    for position, image in enumerate(normalised.permute(0, 2, 3, 1).numpy()):
        labels = felzenszwalb(image, channel_axis=-1, **parameters)
        if labels.max() > np.iinfo(np.int16).max:
            raise ValueError(f"an image has {labels.max() + 1} segments: raise scale or min_size")
        result[position] = labels
    return result


def _key(pixels: Tensor, mean: Sequence[float], std: Sequence[float], parameters: dict[str, float]) -> str:
    settings = {
        "shape": list(pixels.shape),
        "mean": [float(value) for value in mean],
        "std": [float(value) for value in std],
        "skimage": version("scikit-image"),
        **parameters,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(pixels.numpy().tobytes())
    return digest.hexdigest()[:32]


def _load(cache: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """What the cache holds, or None where it has nothing whole: then it is computed, and the file replaced."""
    try:
        # Opened here, because np.load leaves a damaged file open.
        with cache.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            labels = stored["labels"]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
    return labels if labels.shape == shape and labels.dtype == np.int16 else None


def _save(cache: Path, labels: np.ndarray) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, labels=labels)

    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cache, write, durable=False, writers="many")
    except (OSError, RunFailure) as error:
        reason = one_line(error.__cause__ or error)
        warnings.warn(
            f"superpixels can't be kept in {cache.parent} ({reason}): every run computes them again", stacklevel=3
        )
