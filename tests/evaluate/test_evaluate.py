"""`chimeramix evaluate` on generators that were trained for a second or two."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from chimeramix.cli import main
from chimeramix.config.compose import compose_settings
from chimeramix.data.digits import Digits
from chimeramix.evaluate.composing import Composer, with_composing_mixer
from chimeramix.evaluate.images import training_images, unseen_images
from chimeramix.evaluate.reconstruction import reconstructed
from chimeramix.runs.train import train
from chimeramix.runs.trained import read_generator
from chimeramix.streams import RandomStream, RunStreams
from tests.evaluate.extractor import NAME
from tests.runs.generators import Generators
from tests.runs.tiny import GENERATOR, folder_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Generators:
    return Generators(tmp_path_factory.mktemp("evaluated"))


@pytest.fixture
def folder(runs: Generators, tmp_path: Path) -> Path:
    """A copy of one, to be evaluated."""
    return shutil.copytree(runs["segments"], tmp_path / "generator" / "copied")


def composer_of(folder: Path, seed: int = 0, **changes: Any) -> Composer:
    _, config, network = read_generator(folder)
    for name, value in changes.items():
        setattr(config, name, value)
    config = with_composing_mixer(config, network)
    return Composer(config, training_images(config, folder), network, RunStreams(seed, CPU), CPU)


def evaluate(folder: Path, *words: str) -> dict[str, Any]:
    fidelity = [] if "--no-fidelity" in words else ["--extractor", NAME]
    assert main(["evaluate", str(folder), "--device", "cpu", "--count", "40", *fidelity, *words]) == 0
    record: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    return record


def test_a_generator_is_evaluated_and_stays_as_it_was(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    record = evaluate(folder)
    printed = capsys.readouterr().out
    for text in ("compositions", "training images, augmented", "KID", "95 % interval", "to a source", "PSNR"):
        assert text in printed
    assert "40 training images that the generator has not seen" in printed
    assert record["fidelity"].keys() == {"compositions", "training images", "training images, augmented"}
    assert record["fidelity"]["training images"]["images"] == 20
    assert record["distances"].keys() == record["distances_in_features"].keys()
    assert record["reconstruction"].keys() == {"training images", "real images"}
    with Image.open(folder / "evaluation.png") as picture:
        assert min(picture.size) > 500
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert after.keys() - before.keys() == {"evaluation.json", "evaluation.png"}
    assert {name: after[name] for name in before} == before


def test_the_seed_decides(folder: Path) -> None:
    first = evaluate(folder)
    assert evaluate(folder) == first
    assert evaluate(folder, "--seed", "1")["fidelity"] != first["fidelity"]


def test_csv_has_a_line_for_each_figure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = evaluate(folder, "--format", "csv")
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {line["section"] for line in lines} == {
        "fidelity",
        "distances",
        "distances_in_features",
        "reconstruction",
    }
    (kid,) = (line["value"] for line in lines if (line["images"], line["figure"]) == ("compositions", "kid"))
    assert float(kid) == record["fidelity"]["compositions"]["kid"]


def test_without_fidelity_the_other_figures_are_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = evaluate(folder, "--no-fidelity", "--format", "markdown")
    assert record.keys() >= {"distances", "reconstruction"}
    assert "fidelity" not in record
    printed = capsys.readouterr().out
    assert "| compositions | 40 |" in printed
    assert "KID" not in printed


@pytest.mark.parametrize("name", ["glico", "supermix", "grid"])
def test_other_generators(name: str, runs: Generators, tmp_path: Path) -> None:
    record = evaluate(shutil.copytree(runs[name], tmp_path / "generator" / name))
    known = record["distances"]["compositions"]["of_sources"]
    assert (known is None) == (name == "supermix")
    expected = {
        "glico": {"training images"},  # others have no code
        "supermix": None,
        "grid": {"training images", "real images"},
    }[name]
    assert set(record.get("reconstruction", {})) == (expected or set())


def test_compositions_name_their_sources(runs: Generators) -> None:
    """Under a mask of ones a composition is what its first source's features decode to, under zeros its partner's."""
    composer = composer_of(runs["grid"])
    for share in (1.0, 0.0):
        composer.mixer.mask = lambda first, partner, size, rng, share=share: torch.full(  # type: ignore[assignment]
            (len(first), 1, size, size), share
        )
        made = composer.compose(50)
        assert made.sources is not None
        source = made.sources[:, 0 if share else 1]
        training = training_images(*_of(runs["grid"]))
        expected = reconstructed(composer, training.subset(32).images[source], False, RandomStream(0))
        assert expected is not None
        assert (made.images.int() - expected.int()).abs().max() <= 1
        assert torch.equal(training.labels[made.sources[:, 0]], training.labels[made.sources[:, 1]])
    assert set(made.sources[:, 0].bincount().tolist()) == {2, 3}  # 50 compositions of 20 images


def _of(folder: Path) -> tuple[Any, Path]:
    return read_generator(folder)[1], folder


def test_several_partners_of_an_image_are_all_sources(runs: Generators) -> None:
    """A mixer may ask for the partners of a repeated batch: all first ones, then all second ones."""
    composer = composer_of(runs["grid"])
    mixer = composer.mixer
    asked: list[torch.Tensor] = []

    def compose(batch: Any, rng: Any) -> Any:
        asked.append(torch.stack([mixer.partners(batch, True).index for _ in range(3)]))
        return batch.images, batch.labels

    mixer.compose = compose  # type: ignore[method-assign]
    made = composer.compose(10)
    assert made.sources is not None
    assert made.sources.shape == (10, 4)
    assert torch.equal(made.sources[:, 1:], asked[0].T)


def test_glico_is_evaluated_between_its_codes(runs: Generators) -> None:
    composer = composer_of(runs["glico"])
    made = composer.compose(64)
    assert made.sources is not None
    assert made.sources.shape == (64, 2)
    assert (made.sources[:, 0] != made.sources[:, 1]).all()  # include_self=false
    generator, mixer = composer.mixer.generator, composer.mixer
    mixer.steps = (0.0,)  # type: ignore[assignment]
    generator.noise_sigma = 0.0  # type: ignore[union-attr]
    alone = composer.compose(20)
    assert alone.sources is not None
    codes = generator.codes[alone.sources[:, 0]]  # type: ignore[union-attr,index]
    expected = composer.pixels(generator.decode(codes, RandomStream(0)))  # type: ignore[union-attr,operator]
    assert (alone.images.int() - expected.int()).abs().max() <= 1


def test_a_run_without_a_mixer_takes_its_generators_own(runs: Generators) -> None:
    for name, kind in (("segments", "ChimeraMix"), ("glico", "GLICO"), ("supermix", "SuperMix")):
        composer = composer_of(runs[name], mixer={"_target_": "chimeramix.mixing.Identity"})
        assert type(composer.mixer).__name__ == kind
        assert composer.mixer.probability == 1


def test_real_images_are_training_images_that_the_generator_has_not_seen(runs: Generators) -> None:
    _, config, _ = read_generator(runs["glico"])
    config.generator["unlabelled"] = 300
    data = training_images(config, runs["glico"])
    real = unseen_images(data, config, 200, seed=0)
    part = Digits("digits", 32, [0.5] * 3, [0.5] * 3).train()
    pixels = part.read(range(797)).flatten(1)
    places = [(pixels == image.flatten()).all(1).nonzero().flatten().tolist() for image in real]
    seen = {*data.indices, *data.unlabelled_positions(300, "generator")}
    assert all(set(place) - seen for place in places)  # a few digits are in the data set twice
    assert part.labels[[min(set(place) - seen) for place in places]].bincount().tolist() == [20] * 10
    assert torch.equal(real, unseen_images(data, config, 200, seed=0))
    assert not torch.equal(real, unseen_images(data, config, 200, seed=1))


def test_folders_may_be_the_reference(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(6):
        (tmp_path / "some" / "deeper").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 50), (40 * number,) * 3).save(tmp_path / "some" / "deeper" / f"{number}.png")
    record = evaluate(folder, "--reference", str(tmp_path / "some"))
    assert record["reference_images"] == 6
    assert f"6 images of {tmp_path / 'some'}" in capsys.readouterr().out


def told(capsys: pytest.CaptureFixture[str], folder: Path, *words: str, status: int = 2) -> str:
    before = sorted(folder.iterdir()) if folder.exists() else []
    capsys.readouterr()
    assert main(["evaluate", str(folder), "--device", "cpu", *words]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = (line for line in captured.err.splitlines() if line.startswith("error: "))
    assert (sorted(folder.iterdir()) if folder.exists() else []) == before
    return line


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--count", "0"], "--count 0: must be at least 1"),
        (["--reference", "train", "else"], "--reference: train stands alone"),
        (["--no-fidelity", "--weights", "x"], "--weights has no effect"),
        (["--reference", "absent", "--extractor", NAME], "--reference absent: no such folder"),
        (["--extractor", "inception"], "--extractor inception: unknown; there are inception-v3-compat"),
        (["--weights", "absent"], "--weights absent: no such file"),
    ],
)
def test_options_that_will_not_do(
    words: list[str], expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in told(capsys, folder, *words)


def test_a_file_that_cannot_be_written_leaves_nothing_half_done(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "evaluation.json").mkdir()
    assert main(["evaluate", str(folder), "--device", "cpu", "--count", "20", "--no-fidelity"]) == 1
    captured = capsys.readouterr()
    assert "compositions" in captured.out
    assert "evaluation.json could not be written" in captured.err.splitlines()[-1]
    assert not list(folder.glob(".*tmp"))


def test_folders_that_hold_no_finished_generator(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "absent is not the folder of a finished run" in told(capsys, tmp_path / "absent", "--no-fidelity")
    split = json.loads((folder / "split.json").read_text())
    split["labels"].reverse()
    (folder / "split.json").write_text(json.dumps(split))
    assert "split.json has other labels than the data set has now" in told(capsys, folder, "--no-fidelity")
    (folder / "split.json").write_text("{")
    assert told(capsys, folder, "--no-fidelity").endswith("which images the run had is not known; train it again")
    (folder / "result.json").unlink()
    assert "has no result.json" in told(capsys, folder, "--no-fidelity")


@pytest.mark.parametrize(
    "words",
    [
        ["+dataset=demo/digits"],
        ["--folder", "photos"],
        ["--config-dir", "mine", "--count", "3"],
        ["--per-class"],
        ["--without-duplicates"],
    ],
)
def test_what_is_for_a_classifier_is_refused(
    words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = f"{words[0]}: is for the run of a classifier, and {folder} is the run of a generator"
    assert told(capsys, folder, *words) == f"error: {expected}"


def test_where_all_images_were_trained_on_a_folder_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part, number in (("train", 2), ("test", 1)):
        for name in ("cat", "dog"):
            (tmp_path / "images" / part / name).mkdir(parents=True)
            for place in range(number):
                picture = Image.new("RGB", (32, 32), (100 * place, 30, 200 if name == "cat" else 0))
                picture.save(tmp_path / "images" / part / name / f"{place}.png")
    words = ["+dataset=own/image_folder", "+experiment=chimeramix_grid", "max_labels_per_class=2", *GENERATOR]
    words += [f"dataset.root={tmp_path / 'images'}", "dataset.image_size=32", "generator.image_size=32"]
    places = [f"machine.{name}={tmp_path / name}" for name in ("runs_dir", "data_dir")]
    train(compose_settings("generator", [*words, *places, "machine.device=cpu"]))
    folder = folder_of("generator", tmp_path / "runs_dir")
    line = told(capsys, folder, "--extractor", NAME)
    assert re.search(r"seen all training images of a class.*--reference FOLDER.*--no-fidelity", line)
    assert evaluate(folder, "--no-fidelity")["reference_images"] == 0
    moved = (tmp_path / "images").rename(tmp_path / "moved")
    assert "dataset.root=" in told(capsys, folder, "--no-fidelity")
    assert evaluate(folder, "--no-fidelity", "--images", str(moved))["reference_images"] == 0
    shutil.copy(moved / "train" / "dog" / "0.png", moved / "train" / "dog" / "2.png")  # behind all the others
    assert "another number of training images" in told(capsys, folder, "--no-fidelity", "--images", str(moved))
