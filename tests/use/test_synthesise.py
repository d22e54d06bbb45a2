"""`chimeramix synthesise`: files that other frameworks read, and an account of how each image was made."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torchvision.datasets import ImageFolder as TorchvisionFolder

import chimeramix
from chimeramix.cli import main
from chimeramix.config.compose import compose_settings
from chimeramix.data.digits import Digits
from chimeramix.data.image_folder import ImageFolder
from chimeramix.errors import UserError
from chimeramix.generators.networks import ChimeraNetwork
from chimeramix.runs.train import train
from chimeramix.use import synthesise as command
from chimeramix.use.synthesise import check_names
from chimeramix.use.synthesised import readable
from tests.runs.generators import Generators
from tests.runs.tiny import GENERATOR, folder_of

DIGITS = Digits("digits", 32, [0.5] * 3, [0.5] * 3).train()


def synthesise(run: Path, out: Path, *words: str, per_class: int = 2) -> list[dict[str, Any]]:
    """The JSON lines."""
    words = ("--per-class", str(per_class), "--out", str(out), "--device", "cpu", *words)
    assert main(["synthesise", str(run), *words]) == 0
    return [json.loads(line) for line in out.with_name(f"{out.name}.jsonl").read_text(encoding="utf-8").splitlines()]


def pixels(path: Path) -> Tensor:
    """`[3, S, S]` uint8."""
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def files_of(out: Path) -> dict[str, bytes]:
    found = [*out.rglob("*.png"), out.with_name(f"{out.name}.jsonl"), out.with_name(f"{out.name}.png")]
    return {path.relative_to(out.parent).as_posix().replace(out.name, "OUT", 1): path.read_bytes() for path in found}


def told(capsys: pytest.CaptureFixture[str], run: Path, out: Path, *words: str, status: int = 2) -> str:
    capsys.readouterr()
    before = sorted(out.parent.iterdir())
    words = words if "--per-class" in words else ("--per-class", "2", *words)
    assert main(["synthesise", str(run), "--out", str(out), "--device", "cpu", *words]) == status
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert sorted(out.parent.iterdir()) == before, "nothing is left"
    return line


def test_torchvision_and_this_package_read_the_folder(
    generators: Generators, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "composed" / "train"
    lines = synthesise(generators["grid"], out)
    printed = capsys.readouterr().out
    assert printed == f"20 images, 2 of each of 10 classes: {out}, {out}.jsonl and {out}.png\n"
    read = TorchvisionFolder(str(out))
    assert read.classes == [str(digit) for digit in range(10)]
    assert len(read) == 20
    assert all(image.size == (32, 32) for image, _ in read)
    assert {(Path(path).relative_to(out).as_posix(), label) for path, label in read.samples} == {
        (line["file"], line["label"]) for line in lines
    }
    own = ImageFolder(str(out.parent), "own", 32, [0.5] * 3, [0.5] * 3, needs_test=False, workers=0)
    assert own.train().labels.bincount().tolist() == [2] * 10
    assert torch.equal(own.train().read([0])[0], pixels(out / "0" / "00000.png"))
    assert sorted(path.name for path in out.parent.iterdir()) == ["train", "train.jsonl", "train.png"]
    with Image.open(f"{out}.png") as sheet:
        assert min(sheet.size) > 500


def test_the_seed_decides_and_more_images_begin_with_the_same(generators: Generators, tmp_path: Path) -> None:
    for name in ("segments", "glico"):
        first = synthesise(generators[name], tmp_path / f"{name} first", per_class=3)
        synthesise(generators[name], tmp_path / f"{name} again", per_class=3)
        assert files_of(tmp_path / f"{name} first") == files_of(tmp_path / f"{name} again")
        other = synthesise(generators[name], tmp_path / f"{name} other", "--seed", "1", per_class=3)
        assert [line["sources"] for line in other] != [line["sources"] for line in first]
        more = synthesise(generators[name], tmp_path / f"{name} more", per_class=5)
        assert more[:30] == first
        for line in first:
            fewer, many = (tmp_path / f"{name} {which}" / line["file"] for which in ("first", "more"))
            assert fewer.read_bytes() == many.read_bytes()


def test_an_image_is_what_its_line_says(generators: Generators, tmp_path: Path) -> None:
    """Encoded, mixed and decoded by hand, with the weights in the run's folder."""
    run = generators["grid"]
    network = ChimeraNetwork(features=4, blocks=2, split=1)
    network.load_state_dict(load_file(run / "generator.safetensors"))
    split = json.loads((run / "split.json").read_text())
    lines = synthesise(run, tmp_path / "out", per_class=4)
    for line in lines:
        assert set(line["sources"]) <= set(split["indices"])
        assert DIGITS.labels[line["sources"]].tolist() == [line["label"]] * 2
        assert line["class"] == str(line["label"]) == line["file"].partition("/")[0]
        images = F.interpolate(DIGITS.read(line["sources"]).float() / 127.5 - 1, size=(32, 32))
        mask = torch.tensor([[float(digit == "0") for digit in row] for row in line["mask"]])
        with torch.no_grad():
            first, second = network.encoder(images)
            decoded = network.decoder((first * mask + second * (1 - mask))[None])[0]
        expected = ((decoded + 1) * 127.5).round().clamp(0, 255)
        assert (pixels(tmp_path / "out" / line["file"]).float() - expected).abs().max() <= 1
    firsts = [line["sources"][0] for line in lines]
    assert {firsts.count(position) for position in split["indices"]} == {2}, "each is as often the first as any other"


def test_the_mask_says_which_of_several_images_each_place_shows(generators: Generators, tmp_path: Path) -> None:
    run = generators["three"]
    network = ChimeraNetwork(features=4, blocks=2, split=1)
    network.load_state_dict(load_file(run / "generator.safetensors"))
    for line in synthesise(run, tmp_path / "out"):
        assert len(line["sources"]) == 3
        with torch.no_grad():
            encoded = network.encoder(DIGITS.read(line["sources"]).float() / 127.5 - 1)
            mixed = torch.empty_like(encoded[0])
            for row, digits in enumerate(line["mask"]):
                for column, digit in enumerate(digits):
                    mixed[:, row, column] = encoded[int(digit), :, row, column]
            expected = ((network.decoder(mixed[None])[0] + 1) * 127.5).round().clamp(0, 255)
        assert (pixels(tmp_path / "out" / line["file"]).float() - expected).abs().max() <= 1


@pytest.mark.parametrize("name", ["official", "segments"])
def test_the_loaded_generator_makes_the_same_images(name: str, generators: Generators, tmp_path: Path) -> None:
    """Also where the generator's side is twice that of the images, and the run's mixer aligns corners."""
    generator = chimeramix.load_generator(generators[name])
    for line in synthesise(generators[name], tmp_path / "out"):
        rows = [[float(digit == "0") for digit in row] for row in line["mask"]]
        (made,) = generator.compose(DIGITS.read(line["sources"])[:, None], torch.tensor(rows)[None, None])
        assert (made.int() - pixels(tmp_path / "out" / line["file"]).int()).abs().max() <= 1


def test_masks_as_text_and_where_images_share_places_as_numbers() -> None:
    assert readable(torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])) == ["01", "11"]
    shares = torch.eye(12)[torch.tensor([[0, 9], [10, 11]])].permute(2, 0, 1)
    assert readable(shares) == ["09", "ab"]
    assert readable(torch.tensor([[[0.25, 1.0]]])) == [[[0.25, 1.0]], [[0.75, 0.0]]]


def test_interpolations_of_codes(generators: Generators, tmp_path: Path) -> None:
    lines = synthesise(generators["glico"], tmp_path / "out", per_class=6)
    assert {line["weight"] for line in lines} == {0.1, 0.2, 0.3, 0.4}
    for line in lines:
        assert "mask" not in line
        assert line["sources"][0] != line["sources"][1]  # include_self=false
        assert DIGITS.labels[line["sources"]].tolist() == [line["label"]] * 2


def test_stored_mixtures(generators: Generators, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each at most once, in the class that has most of the teacher's target."""
    run = shutil.copytree(generators["supermix"], tmp_path / "generator" / "run")
    assert "the generator has stored 0 mixtures of class" in told(capsys, run, tmp_path / "out")
    images, targets = synthetic_pool(run)
    for line in synthesise(run, tmp_path / "out", per_class=2):
        (place,) = (images == pixels(tmp_path / "out" / line["file"])).flatten(1).all(1).nonzero().flatten().tolist()
        assert int(targets[place].argmax()) == line["label"]
        assert line["sources"] == []
        assert line["target"] == pytest.approx({str(k): float(targets[place][k]) for k in range(10)}, abs=1e-6)
    assert len({path.read_bytes() for path in (tmp_path / "out").rglob("*.png")}) == 20
    line = told(capsys, run, tmp_path / "more", "--per-class", "4")
    assert "--per-class 4: the generator has stored 3 mixtures of class 0; ask for --per-class 3 or fewer" in line


def synthetic_pool(run: Path) -> tuple[Tensor, Tensor]:
    """Puts three mixtures of each class into a run: so short a training keeps those that chance wants."""
    from safetensors.torch import save_file

    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (30, 3, 32, 32), generator=draw, dtype=torch.uint8)
    targets = F.one_hot(torch.arange(30) % 10, 10) * 0.5 + torch.rand(30, 10, generator=draw).softmax(1) * 0.5
    weights = {"images": images, "targets": targets, "count": torch.tensor(30)}
    save_file(weights, run / "generator.safetensors")
    result = json.loads((run / "result.json").read_text())
    del result["weights_sha256"]
    (run / "result.json").write_text(json.dumps(result))
    return images, targets


def test_augmented_sources(generators: Generators, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = synthesise(generators["grid"], tmp_path / "plain")
    augmented = synthesise(generators["grid"], tmp_path / "augmented", "--augment")
    expected = [{**line, "augmented": True} for line in plain]
    assert augmented == expected, "partners and masks are drawn apart from the augmentation"
    same = [
        (tmp_path / "plain" / line["file"]).read_bytes() == (tmp_path / "augmented" / line["file"]).read_bytes()
        for line in plain
    ]
    assert not any(same)
    assert "--augment: " in told(capsys, generators["glico"], tmp_path / "out", "--augment")


def test_a_folder_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The lines name its files, and it may have moved. Names of classes may hold any signs, those of files
    need not be UTF-8."""
    for name in ("Käse & $x$", "dog"):
        for number in range(2):
            (tmp_path / "images" / "train" / name).mkdir(parents=True, exist_ok=True)
            colour = (90 * number, 50 * len(name), 30)
            Image.new("RGB", (40, 36), colour).save(
                tmp_path / "images" / "train" / name / os.fsdecode(b"caf\xe9%d.jpg" % number)
            )
    shutil.copytree(tmp_path / "images" / "train", tmp_path / "images" / "test")
    words = ["+dataset=own/image_folder", "+experiment=chimeramix_grid", "max_labels_per_class=2", *GENERATOR]
    words += [f"dataset.root={tmp_path / 'images'}", "dataset.image_size=32", "generator.image_size=32"]
    places = [f"machine.{name}={tmp_path / name}" for name in ("runs_dir", "data_dir")]
    train(compose_settings("generator", [*words, *places, "machine.device=cpu", "machine.workers=1"]))
    run = folder_of("generator", tmp_path / "runs_dir")
    moved = (tmp_path / "images").rename(tmp_path / "moved")
    assert "say with --images FOLDER" in told(capsys, run, tmp_path / "out")
    lines = synthesise(run, tmp_path / "out", "--images", str(moved))
    assert [line["class"] for line in lines] == ["Käse & $x$", "dog"] * 2
    files = sorted((moved / "train").rglob("*.jpg"))
    for line in lines:
        assert [str(moved / "train" / name) for name in line["source_files"]] == [
            str(files[position]) for position in line["sources"]
        ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--per-class", "0"], "--per-class 0: must be at least 1"),
        (["--seed", "-1"], "--seed -1: must not be negative"),
        (["--images", "absent", "--device", "cuda:99"], "cuda:99"),
    ],
)
def test_options_that_will_not_do(
    words: list[str], expected: str, generators: Generators, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in told(capsys, generators["grid"], tmp_path / "out", *words)


@pytest.mark.parametrize("name", ["out", "out.jsonl", "out.png"])
def test_what_is_there_is_never_overwritten(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is anything read before: the run does not even exist."""
    (tmp_path / name).mkdir()
    line = told(capsys, tmp_path / "no run", tmp_path / "out")
    assert f"{tmp_path / name} is there already" in line


def test_a_full_disk_leaves_nothing(
    generators: Generators, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for owner, name in ((command, "draw_sheet"), (command.os, "rename")):  # type: ignore[attr-defined]
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, full)
            line = told(capsys, generators["grid"], tmp_path / "out", status=1)
        assert f"{tmp_path / 'out'} could not be written" in line
        assert "No space left" in line


@pytest.mark.parametrize("name", ["cat/dog", "", ".", "..", ".hidden", "cat\\dog", "x" * 256, "nul\0"])
def test_class_names_that_are_no_folders(name: str) -> None:
    check_names(["cat", "Käse & $x$", "001.Black_footed_Albatross"])
    with pytest.raises(UserError, match="can't be a folder's name"):
        check_names(["cat", name])


def test_a_classifier_synthesises_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not the folder of a finished run" in told(capsys, tmp_path / "absent", tmp_path / "out")
