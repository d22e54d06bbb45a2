"""CIFAR, ciFAIR and STL-10: small archives in the published format, with their own checksums in the source classes."""

import hashlib
import io
import pickle
import tarfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from chimeramix.data import cifar, download, stl10
from chimeramix.errors import UserError
from chimeramix.types import DataSource

HALF = [0.5, 0.5, 0.5]
REFUSED = "http://127.0.0.1:9"
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


def publish_cifar(base: type[cifar.CIFAR10], store: Path) -> type[cifar.CIFAR10]:
    """A source class like `base` for a small archive in `store`: 4 training images, 2 test images."""
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
    files[test] = cifar_batch(PIXELS[4:], LABELS[4:], key)
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


def publish_stl10(store: Path) -> type[stl10.STL10]:
    column_major = STL_PIXELS.transpose(0, 1, 3, 2)
    one_based = np.array(STL_LABELS, dtype=np.uint8) + 1
    files = {
        "train_X.bin": column_major[:1].tobytes(),
        "train_y.bin": one_based[:1].tobytes(),
        "unlabeled_X.bin": b"not wanted",
        "test_X.bin": column_major[1:].tobytes(),
        "test_y.bin": one_based[1:].tobytes(),
    }
    changes = {
        "tgz_md5": write_archive(store / "stl10_binary.tar.gz", "stl10_binary", files),
        "train_list": [[name, md5(files[name])] for name in ("train_X.bin", "train_y.bin")],
        "test_list": [[name, md5(files[name])] for name in ("test_X.bin", "test_y.bin")],
    }
    return type("STL10", (stl10.STL10,), {"changes": changes})


@pytest.fixture
def store(tmp_path):
    """The folder that serves as mirror."""
    store = tmp_path / "my mirror"
    store.mkdir()
    return store


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def make(store, data_dir):
    """Makes sources of a small ciFAIR-10."""
    source_class = publish_cifar(cifar.CiFAIR10, store)
    return lambda mirror=store, data_dir=data_dir: source_class(
        "cifair10", 32, HALF, HALF, data_dir=str(data_dir), mirror=str(mirror)
    )


@pytest.mark.parametrize("base", [cifar.CIFAR10, cifar.CIFAR100, cifar.CiFAIR10, cifar.CiFAIR100])
def test_cifar(base, store, data_dir):
    source_class = publish_cifar(base, store)
    source: DataSource = source_class("c", 32, HALF, HALF, data_dir=str(data_dir), mirror=str(store))

    train, test = source.train(), source.test()

    assert train.classes == test.classes == ("cat", "dog")
    assert train.labels.tolist() == LABELS[:4]
    assert test.labels.tolist() == LABELS[4:]
    assert train.labels.dtype == torch.int64
    assert torch.equal(train.read([3, 0]), torch.from_numpy(PIXELS[[3, 0]]))
    assert torch.equal(test.read([0, 1]), torch.from_numpy(PIXELS[4:]))
    assert source.facts() == {}


def test_cifar_resizes(store, data_dir):
    source = publish_cifar(cifar.CIFAR10, store)("c", 64, HALF, HALF, data_dir=str(data_dir), mirror=str(store))
    assert source.train().read([1]).shape == (1, 3, 64, 64)


def test_stl10(store, data_dir):
    source: DataSource = publish_stl10(store)("s", 96, HALF, HALF, data_dir=str(data_dir), mirror=str(store))

    train, test = source.train(), source.test()

    assert len(train.classes) == 10
    assert [train.classes[label] for label in STL_LABELS] == ["truck", "airplane", "cat"]
    assert train.labels.tolist() == STL_LABELS[:1]
    assert test.labels.tolist() == STL_LABELS[1:]
    assert torch.equal(train.read([0]), torch.from_numpy(STL_PIXELS[:1]))
    assert torch.equal(test.read([1, 0]), torch.from_numpy(STL_PIXELS[[2, 1]]))
    assert not (data_dir / "stl10_binary" / "unlabeled_X.bin").exists()


@pytest.mark.parametrize(
    ("source", "address", "archive_md5", "file"),
    [
        (cifar.CIFAR10, "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", "cifar-10-batches-py/test_batch"),
        (cifar.CIFAR100, "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", "cifar-100-python/meta"),
        (cifar.CiFAIR10, "v1.0/ciFAIR-10.zip", "ca08fd390f0839693d3fc45c4e49585f", "ciFAIR-10/data_batch_5"),
        (cifar.CiFAIR100, "v1.0/ciFAIR-100.zip", "ddc236ab4b12eeb8b20b952614861a33", "ciFAIR-100/test"),
        (stl10.STL10, "stl10_binary.tar.gz", "91f7769df0f17e558f3565bffb0c7dfb", "stl10_binary/test_X.bin"),
    ],
)
def test_the_real_releases(source, address, archive_md5, file):
    release = source("x", 32, HALF, HALF)._release()
    assert release.url.endswith(f"/{address}")
    assert release.md5 == archive_md5
    assert file in dict(release.files)
    assert not any("unlabeled" in name for name, _ in release.files)


def test_a_mirror_may_be_a_folder_or_a_file_address(make, store, data_dir):
    make(mirror=store).prepare()
    make(mirror=store.as_uri() + "/", data_dir=data_dir.with_name("other")).prepare()
    assert (data_dir.with_name("other") / "ciFAIR-10" / "test_batch").exists()


def test_a_mirror_may_be_a_server(make, store):
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=store)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert make(mirror=address).train().labels.tolist() == LABELS[:4]
        (store / "ciFAIR-10.zip").unlink()
        with pytest.raises(UserError, match=r"ciFAIR-10\.zip can't be fetched \(HTTP Error 404"):
            make(mirror=address, data_dir=store).prepare()
        server.shutdown()


def test_offline_tells_address_and_remedies_in_one_line(make, data_dir):
    with pytest.raises(UserError) as error:
        make(mirror=REFUSED).train()
    message = str(error.value)
    assert "\n" not in message
    assert "dataset cifair10" in message
    assert f"{REFUSED}/ciFAIR-10.zip" in message
    assert f"put ciFAIR-10.zip into {data_dir}" in message
    assert "machine.mirror=" in message


def test_a_mirror_without_the_archive_or_of_no_known_kind(make, tmp_path):
    with pytest.raises(UserError, match="can't be fetched"):
        make(mirror=tmp_path).prepare()
    with pytest.raises(UserError, match=r"carrier://pigeon/ciFAIR-10\.zip can't be fetched"):
        make(mirror="carrier://pigeon").prepare()


def test_an_archive_put_there_by_hand_is_enough(make, store, data_dir):
    data_dir.mkdir()
    (store / "ciFAIR-10.zip").rename(data_dir / "ciFAIR-10.zip")
    assert make(mirror=REFUSED).test().labels.tolist() == LABELS[4:]


def test_a_truncated_archive_is_fetched_again(make, store, data_dir):
    truncate(store / "ciFAIR-10.zip", data_dir / "ciFAIR-10.zip")
    assert make().train().labels.tolist() == LABELS[:4]
    assert (data_dir / "ciFAIR-10.zip").read_bytes() == (store / "ciFAIR-10.zip").read_bytes()


def test_a_truncated_archive_is_named_when_it_cannot_be_fetched(make, store, data_dir):
    truncate(store / "ciFAIR-10.zip", data_dir / "ciFAIR-10.zip")
    with pytest.raises(UserError, match=r"data/ciFAIR-10\.zip is truncated .* can't be fetched"):
        make(mirror=REFUSED).train()
    assert (data_dir / "ciFAIR-10.zip").exists()  # the user's file is the user's


def test_a_truncated_mirror_is_never_taken_for_the_whole(make, store, data_dir):
    truncate(store / "ciFAIR-10.zip", store / "ciFAIR-10.zip")
    with pytest.raises(UserError, match=r"ciFAIR-10\.zip isn't the published file either"):
        make().train()
    assert not (data_dir / "ciFAIR-10.zip").exists()
    assert not list(data_dir.glob("*.part"))


@pytest.mark.parametrize("name", ["data_batch_2", "test_batch", "batches.meta"])
def test_a_truncated_file_is_extracted_again(make, data_dir, name):
    make().prepare()
    file = data_dir / "ciFAIR-10" / name
    whole = file.read_bytes()
    truncate(file, file)
    assert make(mirror=REFUSED).train().labels.tolist() == LABELS[:4]
    assert file.read_bytes() == whole


def test_a_truncated_file_is_named_when_nothing_is_left_to_extract_it_from(make, data_dir):
    make().prepare()
    (data_dir / "ciFAIR-10.zip").unlink()
    truncate(data_dir / "ciFAIR-10" / "test_batch", data_dir / "ciFAIR-10" / "test_batch")
    with pytest.raises(UserError, match=r"ciFAIR-10/test_batch is truncated"):
        make(mirror=REFUSED).train()


def test_an_archive_with_other_content_is_refused(make, store, data_dir):
    release = make()._release()
    write_archive(store / "ciFAIR-10.zip", "ciFAIR-10", {"test_batch": b"other"})
    other = download.Release(release.name, release.url, md5((store / "ciFAIR-10.zip").read_bytes()), release.files)
    with pytest.raises(UserError, match=r"ciFAIR-10\.zip doesn't hold the published .*data_batch_1"):
        download.fetch(other, data_dir, str(store))


def test_complete_data_is_only_read(make, store, data_dir, monkeypatch):
    make().prepare()
    for path in (*data_dir.glob("*.zip"), *data_dir.glob(".*")):
        path.unlink()
    for path in (data_dir / "ciFAIR-10", data_dir):
        path.chmod(0o555)
    # A superuser may write in spite of the permissions, so see to it that nobody tries.
    monkeypatch.setattr(download, "FileLock", None)
    try:
        assert make(mirror=REFUSED).train().labels.tolist() == LABELS[:4]
        assert [path.name for path in data_dir.iterdir()] == ["ciFAIR-10"]
    finally:
        for path in (data_dir, data_dir / "ciFAIR-10"):
            path.chmod(0o755)


def test_a_data_dir_that_cannot_be_written_is_named(make, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/data can't be written .* machine\.data_dir=DIR"):
        make(data_dir=tmp_path / "file" / "data").prepare()


def test_two_at_once_fetch_once(make, monkeypatch):
    fetched = []
    both = threading.Barrier(2)
    transfer, lock = download._transfer, download.FileLock

    def meet_and_lock(path):  # both have found the data missing by then
        both.wait()
        return lock(path)

    monkeypatch.setattr(download, "_transfer", lambda *a: fetched.append(1) or transfer(*a))
    monkeypatch.setattr(download, "FileLock", meet_and_lock)
    threads = [threading.Thread(target=make().prepare) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched == [1]


def test_checksums_are_compared_once_per_source(make, monkeypatch):
    source = make()
    source.train()
    monkeypatch.setattr(download, "broken_files", None)
    source.test()


def truncate(source: Path, target: Path) -> None:
    content = source.read_bytes()
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(content[: len(content) // 2])
