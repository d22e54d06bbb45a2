"""Getting hold of an archive, tried with a small ciFAIR-10."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chimeramix.data import cifar, download
from chimeramix.errors import RunFailure, UserError
from tests.data.fake_archives import HALF, LABELS, md5, publish_cifar, write_archive

REFUSED = "http://127.0.0.1:9"  # nobody listens there


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
        with pytest.raises(RunFailure, match=r"ciFAIR-10\.zip can't be fetched \(HTTP Error 404"):
            make(mirror=address, data_dir=store).prepare()
        server.shutdown()


def test_offline_tells_address_and_remedies_in_one_line(make, data_dir):
    with pytest.raises(RunFailure) as error:
        make(mirror=REFUSED).train()
    message = str(error.value)
    assert "\n" not in message
    assert "dataset cifair10" in message
    assert f"{REFUSED}/ciFAIR-10.zip" in message
    assert f"put ciFAIR-10.zip into {data_dir}" in message
    assert "machine.mirror=" in message
    assert not data_dir.exists()


def test_nothing_is_left_of_a_failed_download(make, store, data_dir):
    """Neither the lock nor a part, nor the folders that were made; but the user's files."""
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    truncate(store / "ciFAIR-10.zip", store / "ciFAIR-10.zip")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=store)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(RunFailure, match="isn't the published file either"):
            make(mirror=address, data_dir=data_dir / "below" / "it").prepare()
        assert not data_dir.exists()
        data_dir.mkdir()
        (data_dir / "mine").touch()
        with pytest.raises(RunFailure, match="isn't the published file either"):
            make(mirror=address).prepare()
        server.shutdown()
    assert [path.name for path in data_dir.iterdir()] == ["mine"]


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
    with pytest.raises(RunFailure, match=r"data/ciFAIR-10\.zip is truncated .* can't be fetched"):
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
    with pytest.raises(RunFailure, match=r"ciFAIR-10/test_batch is truncated"):
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
