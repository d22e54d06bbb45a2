"""CIFAR, ciFAIR, CIFAR-C and STL-10 in small: archives in the published format, and sources with their checksums."""

import hashlib
import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from chimeramix.data import cifar, corrupted, stl10

HALF = [0.5, 0.5, 0.5]
rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
LABELS = [1, 0, 1, 1, 0, 0]
STL_PIXELS = rng.integers(0, 256, (3, 3, 96, 96), dtype=np.uint8)
STL_LABELS = [9, 0, 3]


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def write_archive(path: Path, folder: str, files: dict[str, bytes]) -> str:
    """Returns the md5 of the archive."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as zipped:
            for name, content in files.items():
                zipped.writestr(f"{folder}/{name}", content)
    else:
        with tarfile.open(path, "w:gz") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(f"{folder}/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return md5(path.read_bytes())


def cifar_batch(pixels: np.ndarray, labels: list[int], key: str) -> bytes:
    return pickle.dumps({"data": pixels.reshape(len(pixels), -1), key: labels})


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def publish_cifar(
    base: type[cifar.CIFAR10],
    store: Path,
    test_pixels: np.ndarray = PIXELS[4:],
    test_labels: list[int] = LABELS[4:],
) -> type[cifar.CIFAR10]:
    """A source class like `base` for a small archive in `store`: 4 training images, 2 test images or those given."""
    original = base("x", 32, HALF, HALF)._torchvision_class()
    hundred = issubclass(base, cifar.CIFAR100)
    key = "fine_labels" if hundred else "labels"
    half = 4 if hundred else 2  # CIFAR-10 has several training files
    parts = [PIXELS[:half], PIXELS[half:4]] if half < 4 else [PIXELS[:4]]
    names = [name for name, _ in original.train_list][: len(parts)]
    files = {}
    done = 0
    for name, part in zip(names, parts, strict=True):
        files[name] = cifar_batch(part, LABELS[done : done + len(part)], key)
        done += len(part)
    test = original.test_list[0][0]
    files[test] = cifar_batch(test_pixels, test_labels, key)
    meta = original.meta["filename"]
    files[meta] = pickle.dumps({original.meta["key"]: ["cat", "dog"]})
    archive = store / original.url.rsplit("/", 1)[-1]
    changes = {
        "tgz_md5": write_archive(archive, original.base_folder, files),
        "train_list": [[name, md5(files[name])] for name in names],
        "test_list": [[test, md5(files[test])]],
        "meta": original.meta | {"md5": md5(files[meta])},
    }
    return type(base.__name__, (base,), {"changes": base.changes | changes})


def publish_stl10(store: Path, folds: bytes = b"") -> type[stl10.STL10]:
    column_major = STL_PIXELS.transpose(0, 1, 3, 2)
    one_based = np.array(STL_LABELS, dtype=np.uint8) + 1
    files = {
        "train_X.bin": column_major[:1].tobytes(),
        "train_y.bin": one_based[:1].tobytes(),
        "unlabeled_X.bin": b"not wanted",
        "test_X.bin": column_major[1:].tobytes(),
        "test_y.bin": one_based[1:].tobytes(),
        "fold_indices.txt": folds,
    }
    changes = {
        "tgz_md5": write_archive(store / "stl10_binary.tar.gz", "stl10_binary", files),
        "train_list": [[name, md5(files[name])] for name in ("train_X.bin", "train_y.bin")],
        "test_list": [[name, md5(files[name])] for name in ("test_X.bin", "test_y.bin")],
    }
    return type("STL10", (stl10.STL10,), {"changes": changes})


def corrupt(pixels: np.ndarray, corruption: str, severity: int) -> np.ndarray:
    """Pixels `[M, 3, 32, 32]` that differ by corruption and severity."""
    change = 5 * corrupted.CORRUPTIONS.index(corruption) + severity
    return (pixels.astype(np.int64) * (10 - severity) // 10 + change).clip(0, 255).astype(np.uint8)


def publish_corrupted(
    base: type[corrupted.CIFAR10C], store: Path, pixels: np.ndarray, labels: list[int], replaced: list[int]
) -> dict[str, Any]:
    """What differs from `base` for small archives in `store`: CIFAR's, ciFAIR's, in which the test images at some
    positions are others, and one of corrupted test images."""
    files = {
        f"{name}.npy": npy(
            np.concatenate([corrupt(pixels, name, severity) for severity in range(1, 6)]).transpose(0, 2, 3, 1)
        )
        for name in corrupted.CORRUPTIONS
    }
    files["labels.npy"] = npy(np.tile(np.array(labels, dtype=np.uint8), 5))
    files["README.txt"] = b"What lies where."
    others = pixels.copy()
    others[replaced, 0, 0, 0] ^= 1
    name = base.url.rsplit("/", 1)[-1]
    return {
        "md5": write_archive(store / name, name.removesuffix(".tar"), files),
        "clean": publish_cifar(base.clean, store, pixels, labels),
        "fair": publish_cifar(base.fair, store, others, labels),
    }
