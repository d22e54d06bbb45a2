import pytest
import torch

from chimeramix.data import cifar, stl10
from chimeramix.errors import UserError
from chimeramix.types import DataSource
from tests.data.fake_archives import HALF, LABELS, PIXELS, STL_LABELS, STL_PIXELS, publish_cifar, publish_stl10


@pytest.fixture
def store(tmp_path):
    """The folder that serves as mirror."""
    store = tmp_path / "my mirror"
    store.mkdir()
    return store


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


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


def test_the_test_files_may_be_missing(store, data_dir):
    """Where no test set is read: one machine may not have it, or nobody may see it yet."""
    source_class = publish_cifar(cifar.CIFAR10, store)
    source_class("c", 32, HALF, HALF, data_dir=str(data_dir), mirror=str(store)).prepare()
    (archive,) = data_dir.glob("*.tar.gz")
    archive.unlink()
    (test,) = data_dir.rglob("test_batch")
    test.unlink()

    source = source_class("c", 32, HALF, HALF, str(data_dir), str(data_dir / "nothing"), needs_test=False)
    assert source.train().labels.tolist() == LABELS[:4]
    source = source_class("c", 32, HALF, HALF, str(data_dir), str(data_dir / "nothing"))
    with pytest.raises(UserError, match=r"cifar-10-python\.tar\.gz is missing"):
        source.train()


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
