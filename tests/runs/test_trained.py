"""A trained generator outside of this package's own runs."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from chimeramix.errors import UserError
from chimeramix.mixing import ChimeraMix
from tests.runs.tiny import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run("generator", tmp_path_factory.mktemp("from_run"))


def support() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (12, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return images, torch.arange(12) % 3


def mixed(folder: Path, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    mixer = ChimeraMix.from_run(folder, *support(), probability=1, rng=seed)
    images = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1)).clamp(-1, 1)
    result: tuple[torch.Tensor, torch.Tensor] = mixer(images, torch.tensor([0, 1, 2, 0, 1]))
    return result


def test_it_composes_images_of_the_same_class(folder: Path) -> None:
    images, targets = mixed(folder)
    assert images.shape == (5, 3, 32, 32)
    assert images.abs().max() <= 1
    assert not images.requires_grad
    assert torch.equal(targets, torch.eye(3)[[0, 1, 2, 0, 1]])


def test_the_seed_decides(folder: Path) -> None:
    assert torch.equal(mixed(folder)[0], mixed(folder)[0])
    assert not torch.equal(mixed(folder)[0], mixed(folder, 1)[0])


def test_it_goes_on_where_it_was_saved(folder: Path) -> None:
    """Partners and their augmentation too, not the masks alone."""
    one, other = (ChimeraMix.from_run(folder, *support(), probability=1, rng=seed) for seed in (0, 1))
    batch = torch.zeros(5, 3, 32, 32), torch.tensor([0, 1, 2, 0, 1])
    one(*batch)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(*batch)[0], other(*batch)[0])


class Partners:
    """A collate function that gives the positions of the partners which a mixer draws for a batch."""

    def __init__(self, mixer: ChimeraMix) -> None:
        self._mixer = mixer

    def __call__(self, samples: list[int]) -> torch.Tensor:
        drawn: list[torch.Tensor] = []
        partners: Any = self._mixer.partners
        index = type(partners).index

        def record(*arguments: Any) -> torch.Tensor:
            drawn.append(index(partners, *arguments))
            return drawn[-1]

        partners.index = record
        self._mixer(torch.zeros(len(samples), 3, 32, 32), torch.tensor(samples) % 3)
        return drawn[0]


def test_every_worker_and_epoch_draws_other_partners(folder: Path) -> None:
    mixer = ChimeraMix.from_run(folder, *support(), probability=1, rng=0)
    loader = DataLoader(
        list(range(24)),  # type: ignore[arg-type]
        batch_size=12,
        num_workers=2,
        collate_fn=Partners(mixer),
        multiprocessing_context="fork",
    )
    drawn = [tuple(batch.tolist()) for _ in range(2) for batch in loader]
    assert len(set(drawn)) == 4


def test_loading_leaves_the_random_numbers_of_gpus_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    state = torch.get_rng_state()
    ChimeraMix.from_run(folder, *support(), rng=0)
    assert not seeds
    assert torch.equal(torch.get_rng_state(), state)


def test_a_support_set_may_lack_the_last_classes(folder: Path) -> None:
    mixer = ChimeraMix.from_run(folder, *support(), probability=1, rng=0, num_classes=10)
    _, targets = mixer(torch.zeros(2, 3, 32, 32), torch.tensor([0, 2]))
    assert torch.equal(targets, torch.eye(10)[[0, 2]])
    with pytest.raises(ValueError, match="num_classes=2, but the support set has label 2"):
        ChimeraMix.from_run(folder, *support(), num_classes=2)


def test_a_batch_on_another_device_is_refused(folder: Path) -> None:
    mixer = ChimeraMix.from_run(folder, *support(), probability=1)
    with pytest.raises(ValueError, match="the batch is on meta and the support set on cpu"):
        mixer(torch.zeros(2, 3, 32, 32, device="meta"), torch.zeros(2, dtype=torch.int64, device="meta"))


def test_batches_and_generators_of_other_precisions(folder: Path) -> None:
    mixer = ChimeraMix.from_run(folder, *support(), probability=1, rng=0)
    assert mixer(torch.zeros(2, 3, 32, 32, dtype=torch.float64), torch.tensor([0, 1]))[0].dtype == torch.float64
    mixed, _ = mixer.bfloat16()(torch.zeros(2, 3, 32, 32, dtype=torch.bfloat16), torch.tensor([0, 1]))
    assert mixed.dtype == torch.bfloat16


def test_images_are_resized_as_the_runs_classifier_would(folder: Path, tmp_path: Path) -> None:
    assert not ChimeraMix.from_run(folder, *support()).align_corners
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(config.replace("resize: matched", "resize: official"))
    assert ChimeraMix.from_run(copy, *support()).align_corners


def test_partners_come_from_the_support_set(folder: Path) -> None:
    mixer = ChimeraMix.from_run(folder, *support(), rng=0)
    partner = mixer.partners.views.plain(torch.arange(12))  # type: ignore[attr-defined]
    torch.testing.assert_close(partner.images, support()[0] / 127.5 - 1, atol=1e-6, rtol=0)
    assert partner.segments is not None


def test_a_folder_that_is_no_finished_generator(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(str(tmp_path)) + r".*has no result\.json"):
        ChimeraMix.from_run(tmp_path, *support())


def test_a_flipped_bit_in_the_weights_is_told(folder: Path, tmp_path: Path) -> None:
    """By the checksum in the result; runs of versions without one are read as they are."""
    generator = shutil.copytree(folder, tmp_path / "generator" / folder.name)
    weights = generator / "generator.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 4
    weights.write_bytes(content)
    told = re.escape(f"{weights} is damaged (its content is not what the run wrote); train ")
    with pytest.raises(UserError, match=told):
        ChimeraMix.from_run(generator, *support())
    with pytest.raises(UserError, match=told + r"it again with: .*train_generator\.py .*rerun=true"):
        run("classifier", tmp_path)
    result = json.loads((generator / "result.json").read_text())
    del result["weights_sha256"]
    (generator / "result.json").write_text(json.dumps(result))
    ChimeraMix.from_run(generator, *support())


@pytest.mark.parametrize("name", ["result.json", "config.yaml", "spec.json"])
@pytest.mark.parametrize("content", ["", "{", "[1]", "{}"])
def test_a_damaged_record_of_a_generator_is_told(folder: Path, tmp_path: Path, name: str, content: str) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / name).write_text(content)
    with pytest.raises(UserError, match=rf"{name}.* is damaged"):
        ChimeraMix.from_run(copy, *support())


def test_a_classifier_tells_how_to_mend_its_generators_record(folder: Path, tmp_path: Path) -> None:
    """`rerun=true` would start the classifier over, which mends nothing."""
    copy = shutil.copytree(folder, tmp_path / "generator" / folder.name)
    (copy / "result.json").write_text("{}")
    told = r"result\.json is damaged \(no role\); train it again with: .*train_generator\.py"
    with pytest.raises(UserError, match=told):
        run("classifier", tmp_path)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (support()[0].float(), support()[1], "images must be uint8"),
        (support()[0], support()[1][:3], r"labels must be int64 \[12\]"),
    ],
)
def test_a_support_set_that_will_not_do(images: torch.Tensor, labels: torch.Tensor, message: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=message):
        ChimeraMix.from_run(folder, images, labels)
