"""`chimeramix export --format hub`: the folder, and a model card that says what the record says."""

import json
import re
import statistics
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from chimeramix import load_classifier
from chimeramix.cli import main
from chimeramix.errors import UserError
from chimeramix.runs.trained import read_classifier
from chimeramix.use.card import card
from tests.runs.tiny import run as train_digits
from tests.use.conftest import train_on

Output = pytest.CaptureFixture[str]


@pytest.fixture
def exported(tmp_path: Path, plain: Path) -> Path:
    assert main(["export", str(plain), "--format", "hub", "--out", str(tmp_path / "mine")]) == 0
    return tmp_path / "mine"


def text_of(run: Path) -> str:
    """Of the card that a run gets."""
    record, config, _ = read_classifier(run)
    return card(run, record, config, load_classifier(run))


@pytest.mark.parametrize("kind", ["plain", "viewed"])
def test_the_folder_loads_as_the_run_does(
    kind: str, photos: Path, tmp_path: Path, request: pytest.FixtureRequest, capsys: Output
) -> None:
    """The same logits to the bit, with the same preprocessing and classes, and the same words of `predict`."""
    run, folder = request.getfixturevalue(kind), tmp_path / "mine"
    assert main(["export", str(run), "--format", "hub", "--out", str(folder)]) == 0
    ours, theirs = load_classifier(run), load_classifier(folder)
    image = Image.open(photos / "test" / "spots" / "03.jpg")
    images = torch.stack([ours.preprocess(image), torch.randn(3, 24, 24)])
    assert torch.equal(theirs.preprocess(image), images[0])
    assert torch.equal(theirs(images), ours(images))
    assert theirs.classes == ours.classes == ("spots", "stripes")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    capsys.readouterr()
    said = []
    for each in (run, folder):
        assert main(["predict", str(each), str(photos / "test"), "--format", "csv"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


def test_the_configuration_names_the_classes_as_other_tools_look_for_them(exported: Path) -> None:
    config = json.loads((exported / "config.json").read_text())
    assert config["id2label"] == {"0": "spots", "1": "stripes"}
    assert config["label2id"] == {"spots": 0, "stripes": 1}
    assert config["library_name"] == "chimeramix"


def test_an_exported_folder_is_replaced_and_nothing_else(exported: Path, plain: Path, capsys: Output) -> None:
    words = ["export", str(plain), "--format", "hub", "--out", str(exported)]
    assert main(words) == 2
    assert capsys.readouterr().err.endswith(" is there already: --overwrite replaces it, --out writes elsewhere\n")
    own = (exported / "config.json").read_text()
    for other in ("", "[]", '{"model_type": "bert"}', '{"library_name": "timm"}'):
        (exported / "config.json").write_text(other)
        assert main([*words, "--overwrite"]) == 2
        assert capsys.readouterr().err.endswith(" is a folder of something else: choose another --out\n")
    (exported / "config.json").unlink()
    assert main([*words, "--overwrite"]) == 2  # now it may be anything
    (exported / "config.json").write_text(own)
    (exported / "old.txt").write_text("")
    assert main([*words, "--overwrite"]) == 0
    assert not (exported / "old.txt").exists()
    assert [path.name for path in exported.parent.iterdir()] == ["mine"]


def test_the_default_place_is_in_the_run(photos: Path, tmp_path: Path) -> None:
    run = train_on(photos, tmp_path)
    assert main(["export", str(run), "--format", "hub"]) == 0
    assert load_classifier(run / "hub").classes == ("spots", "stripes")


def test_an_exported_folder_makes_a_program_but_no_card(exported: Path, tmp_path: Path, capsys: Output) -> None:
    assert main(["export", str(exported), "--format", "pt2", "--size", "24", "24"]) == 0
    assert (exported / "classifier.pt2").is_file()
    assert main(["export", str(exported), "--format", "hub", "--out", str(tmp_path / "again")]) == 2
    assert "is not the folder of a finished run" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_the_card_says_what_the_record_says(plain: Path) -> None:
    result = json.loads((plain / "result.json").read_text())
    said = text_of(plain)
    assert f"| accuracy | {100 * result['test']['accuracy']:.2f} % |" in said
    assert f"| mean of the classes' accuracies | {100 * result['test']['macro_accuracy']:.2f} % |" in said
    # Of predictions that were kept in float16.
    assert float(re.search(r"log-likelihood \| ([\d.]+)", said)[1]) == pytest.approx(result["test"]["loss"], abs=2e-3)
    assert "On all 114 test images" in said
    assert "| training images | 5 images per class, 10 in all |" in said
    assert "| epochs, steps | 2, 6 |" in said
    assert f"| device, precision | {result['stretches'][0]['device']}, fp32 |" in said
    assert "10 labelled images and no other data: no pretrained weights" in said
    assert "not known: no other run of these settings was found" in said
    assert "top-5" not in said  # of two classes


def test_the_card_of_other_seeds(photos: Path, tmp_path: Path) -> None:
    """Runs of other settings don't count."""
    folders = [train_on(photos, tmp_path / str(seed), f"seed={seed}") for seed in (0, 1, 2)]
    other = train_on(photos, tmp_path / "other", "optimizer.lr=0.5", "seed=3")
    for folder in (*folders, other):
        folder.rename(tmp_path / "0" / "classifier" / folder.name)
    runs = [tmp_path / "0" / "classifier" / folder.name for folder in folders]
    scores = [100 * json.loads((run / "result.json").read_text())["test"]["accuracy"] for run in runs]
    said = text_of(runs[1])
    assert "3 runs of these settings, this one among them (seeds 0, 1, 2)" in said
    assert f"{statistics.mean(scores):.2f} ± {statistics.stdev(scores):.2f} %" in said


def test_a_run_that_was_moved_away_is_not_searched_around(photos: Path, tmp_path: Path) -> None:
    """What lies two folders above it need not be runs, and may be a whole disk."""
    run = train_on(photos, tmp_path / "runs")
    train_on(photos, tmp_path / "other", "seed=1").rename(run.with_name("other"))
    assert "2 runs of these settings" in text_of(run.rename(run.with_name("renamed")))
    assert "not known: no other run" in text_of((run.parent / "renamed").rename(tmp_path / "runs" / "mine"))
    (tmp_path / "runs" / "best").mkdir()
    assert "not known: no other run" in text_of(
        (tmp_path / "runs" / "mine").rename(tmp_path / "runs" / "best" / "mine")
    )


def test_the_card_of_held_out_images_and_averaged_weights(photos: Path, tmp_path: Path) -> None:
    run = train_on(photos, tmp_path, "validation.fold=0", "average=ema", "evaluation.views=flip")
    said = text_of(run)
    assert "images held out of the training part (fold 0 of 5 of the drawn subset)" in said
    assert "| weights | averaged (EMA) |" in said
    assert "| views of an image | flip |" in said
    front = yaml.safe_load(said.split("---\n")[1])
    assert front["model-index"][0]["results"][0]["dataset"]["split"] == "validation"


def test_the_card_names_data_without_labels(tmp_path: Path) -> None:
    """What else a run used is no "other data"."""
    run = train_digits("classifier", tmp_path, "procedure.transductive=true", experiment="mixmatch")
    said = text_of(run)
    assert "labelled images and the test images without their labels." in said
    assert "no other data" not in said
    assert "| top-5 accuracy |" in said


def test_the_hub_reads_the_card(exported: Path) -> None:
    """As its own library does."""
    hub = pytest.importorskip("huggingface_hub")
    loaded = hub.ModelCard.load(exported / "README.md")
    (first, second) = loaded.data.eval_results
    assert (first.metric_type, first.dataset_split, second.metric_name) == ("accuracy", "test", "Macro accuracy")
    assert loaded.data["library_name"] == "chimeramix"
    assert loaded.data.pipeline_tag == "image-classification"
    assert loaded.data.license is None


def test_a_model_of_ones_own(photos: Path, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder names its code, which nobody runs unasked, and a program needs it no more."""
    (tmp_path / "my_own_network.py").write_text(
        "from torch import nn\n"
        "class Mean(nn.Module):\n"
        "    def __init__(self, num_classes, depth, width, dropout):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(3, num_classes)\n"
        "    def forward(self, images):\n"
        "        return self.layer(images.mean((2, 3)))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = train_on(photos, tmp_path / "runs", "model._target_=my_own_network.Mean")
    assert main(["export", str(run), "--format", "hub"]) == 0
    said = (run / "hub" / "README.md").read_text()
    assert 'chimeramix.load_classifier("FOLDER", trust=True)' in said
    assert "What `my_own_network" in said
    assert "no pretrained weights" not in said
    with pytest.raises(UserError, match=r"names code outside of this package \(my_own_network\.Mean\)"):
        load_classifier(run / "hub")
    images = torch.randn(2, 3, 24, 24)
    assert torch.equal(load_classifier(run / "hub", trust=True)(images), load_classifier(run)(images))
    assert "changed since" not in capsys.readouterr().err
    module = tmp_path / "my_own_network.py"
    module.write_text(module.read_text() + "# another line\n")
    assert main(["predict", str(run), str(photos / "test" / "spots" / "00.png")]) == 0
    told = capsys.readouterr().err
    assert told == f"{run}: changed since the run finished, and used as they are now: my_own_network\n"
    assert main(["export", str(run), "--format", "pt2"]) == 0
    torch.export.load(run / "classifier.pt2")


def test_the_card_cites_the_method(tmp_path: Path) -> None:
    said = text_of(train_digits("classifier", tmp_path, experiment="miamix"))
    assert said.startswith("---\nlibrary_name: chimeramix\n")
    assert "# MiAMix on digits, 2 images per class" in said
    assert said.split("## Citation")[1].count("\n- ") == 1
    assert "MiAMix: Enhancing Image Classification" in said


def test_damaged_predictions_leave_the_calibration_out(photos: Path, tmp_path: Path) -> None:
    run = train_on(photos, tmp_path)
    assert "calibration error" in text_of(run)
    (run / "predictions.npz").write_bytes(b"no predictions")
    assert "calibration error" not in text_of(run)
