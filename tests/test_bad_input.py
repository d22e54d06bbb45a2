"""Mistakes of the user's: each is told in one line that names the key or file, the value and the remedy, with exit
status 2, before anything is written. Commands run in this process, as `python train_ROLE.py` runs them."""

import logging
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from chimeramix.config.compose import CONFIG_DIR

ROOT = CONFIG_DIR.parent

DIGITS = "+dataset=demo/digits"
GRID = (DIGITS, "+experiment=chimeramix_grid")
BASELINE = (DIGITS, "+experiment=baseline")
TINY = ("max_labels_per_class=2", "epochs=1", "epoch_labels_per_class=2", "machine.device=cpu")
TINY_GENERATOR = (
    "generator.epochs=1",
    "generator.epoch_labels_per_class=2",
    "generator.features=2",
    "generator.discriminator.features=2",
)


def tree(folder):
    """Every file below a folder with its content, and every folder."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder; returns its exit status, output and error lines."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def run(role, *words):
        monkeypatch.setattr(sys, "argv", [f"train_{role}.py", *words])
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        root.handlers = []
        capsys.readouterr()
        try:
            runpy.run_path(str(ROOT / f"train_{role}.py"), run_name="__main__")
            status = 0
        except SystemExit as stop:
            status = stop.code
        finally:
            root.handlers, root.level = handlers, level
        captured = capsys.readouterr()
        return status or 0, captured.out, captured.err.splitlines()

    return run


@pytest.fixture
def refusal(command, tmp_path):
    """The one line of a command that must be refused and must leave no trace."""

    def run(role, *words):
        before = tree(tmp_path)
        status, out, lines = command(role, *words)
        assert (status, len(lines), out) == (2, 1, ""), "\n".join(lines)
        assert tree(tmp_path) == before
        assert lines[0].startswith("error: ")
        assert len(lines[0]) < 700
        return lines[0].removeprefix("error: ")

    return run


# Name: words of the command, then parts of the line.
CLASSIFIER_MISTAKES = {
    # What there is no such thing of.
    "dataset": ((*BASELINE[1:],), "no dataset is chosen", "+dataset=NAME"),
    "unknown dataset": (("+dataset=cifar10",), "dataset=cifar10: no such option", "did you mean more/cifar10?"),
    "misspelt dataset": (("+dataset=cifiar10",), "dataset=cifiar10: no such option", "did you mean cifair10?"),
    "dataset without its folder": (("+dataset=digits",), "dataset=digits", "did you mean demo/digits?"),
    "misspelt in a folder": (("+dataset=demo/digit",), "dataset=demo/digit:", "did you mean demo/digits?"),
    "misspelt experiment": ((DIGITS, "+experiment=basline"), "experiment=basline", "did you mean baseline?"),
    "nothing like it": ((DIGITS, "+experiment=xyz"), "experiment=xyz: no such option; there are agmix,"),
    "misspelt model": ((*BASELINE, "model=resnet5"), "model=resnet5", "did you mean resnet50?"),
    "misspelt launcher": ((*BASELINE, "hydra/launcher=slrm"), "hydra/launcher=slrm", "did you mean slurm?"),
    "misspelt group": ((*BASELINE, "modell=resnet50"), "unknown key modell", "did you mean model?"),
    "key": ((*BASELINE, "lrr=1"), "unknown key lrr", "did you mean optimizer.lr?"),
    "key without its group": ((*BASELINE, "lr=1"), "unknown key lr;", "did you mean optimizer.lr?"),
    "added key": ((*BASELINE, "+lrr=1"), "unknown key lrr", "did you mean optimizer.lr?"),
    "forced key": ((*BASELINE, "++lrr=1"), "unknown key lrr", "did you mean optimizer.lr?"),
    "misspelt key": ((*BASELINE, "batchsize=1"), "unknown key batchsize", "did you mean batch_size?"),
    "nested key": ((*BASELINE, "optimizer.lrr=1"), "unknown key optimizer.lrr", "did you mean optimizer.lr?"),
    "added nested key": ((*BASELINE, "+optimizer.lrr=1"), "unknown key optimizer.lrr", "mean optimizer.lr?"),
    "added typed key": ((*BASELINE, "+machine.devic=cpu"), "unknown key machine.devic", "mean machine.device?"),
    "added recipe": ((*BASELINE, "+recipe.lrr=1"), "unknown key recipe.lrr", "did you mean recipe.lr?"),
    "below a value": ((*BASELINE, "model.depth.x=1"), "unknown key model.depth.x"),
    "stage": ((DIGITS, "+experiment=chimeramix_segmentation", "+mask.segment_size.clasifier=8"), "clasifier; did you"),
    "decided by the run": ((*BASELINE, "+model.num_classes=5"), "model.num_classes is decided by the run"),
    "without a generator": ((*BASELINE, "generator.features=8"), "no generator here", "generator=NAME (chimera"),
    "added to no generator": (
        (*BASELINE, "+generator.features=8"),
        "no generator here: choose one with generator=NAME",
    ),
    "without a mask": ((*BASELINE, "mask.mix_size=2"), "no mask here", "mask=NAME (grid, segments)"),
    "mixer without a mask": ((*BASELINE, "mixer=chimera"), "mixer.mask is not set", "mask=NAME"),
    "mixer without a generator": ((*BASELINE, "mixer=chimera", "mask=grid"), "needs a generator", "generator=NAME"),
    # How it is written.
    "order": ((BASELINE[1], DIGITS), "+dataset must come before +experiment"),
    "no plus": (("dataset=demo/digits",), "dataset=demo/digits: write +dataset=demo/digits"),
    "plus": ((*BASELINE, "+model=resnet50"), "+model=resnet50: write model=resnet50"),
    "twice": ((DIGITS, "+dataset=stl10"), "+dataset is given more than once"),
    "syntax": ((*BASELINE, "seed=["), "seed=[: not of the form KEY=VALUE"),
    "closing bracket": ((*BASELINE, "seed=]"), "seed=]: not of the form KEY=VALUE"),
    "word": ((*BASELINE, "fast"), "fast: not of the form KEY=VALUE"),
    "no key": ((*BASELINE, "=3"), "=3: not of the form KEY=VALUE"),
    "flag": ((*BASELINE, "--fast"), "unrecognized arguments: --fast", "--help"),
    "list without --multirun": ((*BASELINE, "seed=1,2"), "seed=1,2: several values; add --multirun", "seed=[1,2]"),
    "removed key": ((*BASELINE, "~seed"), "~seed: this key can't be removed"),
    "removed nested key": ((*BASELINE, "~machine.device"), "~machine.device: this key can't be removed"),
    "interpolation": ((*BASELINE, "epochs=${nothing}"), "epochs: Interpolation key 'nothing' not found"),
    "folder of options": ((*BASELINE, "--config-dir=absent"), "--config-dir=absent: no such folder"),
    # Types.
    "text for a number": ((*BASELINE, "max_labels_per_class=five"), "max_labels_per_class=five: must be a whole"),
    "fraction": ((*BASELINE, "seed=1.5"), "seed=1.5: must be a whole number"),
    "null": ((*BASELINE, "seed=null"), "seed=null: must not be null"),
    "not a switch": ((*BASELINE, "rerun=maybe"), "rerun=maybe: must be true or false"),
    "typed group": ((*BASELINE, "machine.workers=many"), "machine.workers=many: must be a whole number"),
    "group for a value": ((*BASELINE, "machine=fast"), "machine=fast: is a group of keys"),
    "nested text": ((*BASELINE, "model.dropout=abc"), "model.dropout=abc: must be a number"),
    "nested fraction": ((*BASELINE, "model.depth=10.5"), "model.depth=10.5: must be a whole number"),
    "nested null": ((*BASELINE, "model.depth=null"), "model.depth is not set: set model.depth=VALUE"),
    "of a library's": ((*BASELINE, "optimizer.lr=abc"), "optimizer.lr=abc: must be a number"),
    "of a library's, list": ((*BASELINE, "optimizer.lr=[1]"), "optimizer.lr=[1]: must be a number"),
    "of a library's, null": ((*BASELINE, "optimizer.lr=null"), "optimizer.lr is not set: set optimizer.lr=VALUE"),
    "not finite": ((*BASELINE, "optimizer.lr=nan"), "optimizer.lr=nan: must be a number"),
    "a generator without features": (
        (*BASELINE, "mixer=chimera", "mask=grid", "generator=glico"),
        "mixer: this generator has no features to mix: choose one that has, with generator=chimera",
    ),
    "a generator without codes": ((*GRID, "mixer=glico"), "mixer: this generator has no latent codes"),
    "a generator without mixtures": ((*GRID, "mixer=supermix"), "mixer: this generator has no stored mixtures"),
    "no option": ((*BASELINE, "model=null"), "model=null: choose an option by its name: resnet18,"),
    "no group": ((*BASELINE, "schedule=null"), "schedule=null: must be a group of keys"),
    "no optimizer": ((*BASELINE, "optimizer=null"), "optimizer=null: choose an option by its name: adamw, sgd"),
    "class": ((*BASELINE, "model._target_=chimeramix.models.WideResnet"), "model._target_=", "WideResnet"),
    "choice": ((*GRID, "mixer.resize=matchd"), "mixer.resize=matchd: must be matched or official", "mean matched?"),
    "choice of the mask": (
        (*GRID, "mask.offset=bach"),
        "mask.offset=bach: must be batch or sample or none",
        "did you mean batch?",
    ),
    "choice of segments": (
        (DIGITS, "+experiment=chimeramix_segmentation", "mask.select=rang"),
        "mask.select=rang: must be range or one or bernoulli; did you mean range?",
    ),
    "precision": (
        (*BASELINE, "machine.precision=fp8"),
        "machine.precision=fp8: must be auto or fp32 or tf32 or bf16 or fp16",
    ),
    "compile": (
        (*BASELINE, "machine.compile=graph"),
        "machine.compile=graph: must be false or true or graphs or full",
        "did you mean graphs?",
    ),
    "graphs without a GPU": ((*BASELINE, "machine.compile=graphs", "machine.device=cpu"), "needs a CUDA GPU"),
    "tf32 without a GPU": ((*BASELINE, "machine.precision=tf32", "machine.device=cpu"), "needs a CUDA GPU"),
    "wandb": ((*BASELINE, "wandb.mode=ofline"), "wandb.mode=ofline", "did you mean offline?"),
    # Ranges.
    "no labels": ((*BASELINE, "max_labels_per_class=0"), "max_labels_per_class=0: must be at least 1"),
    "negative labels": ((*BASELINE, "max_labels_per_class=-5"), "max_labels_per_class=-5: must be at least 1"),
    "more labels than there are": ((*BASELINE, "max_labels_per_class=500"), "is 500", "set max_labels_per_class=79"),
    "no epochs": ((*BASELINE, "epochs=0"), "epochs=0: must be at least 1"),
    "no batch": ((*BASELINE, "batch_size=0"), "batch_size=0: must be at least 1"),
    "no epoch": ((*BASELINE, "epoch_labels_per_class=-1"), "epoch_labels_per_class=-1: must be at least 1"),
    "no workers": ((*BASELINE, "machine.workers=0"), "machine.workers=0: must be at least 1"),
    "negative seed": ((*BASELINE, "seed=-1"), "seed=-1: must not be negative"),
    "negative split_seed": ((*BASELINE, "split_seed=-1"), "split_seed=-1: must not be negative"),
    "negative interval": ((*BASELINE, "monitor.evaluate_every=-1"), "monitor.evaluate_every=-1: must not be negative"),
    "negative rate": ((*BASELINE, "optimizer.lr=-1"), "optimizer", "learning rate", "-1"),
    "dropout": ((*BASELINE, "model.dropout=1"), "model: dropout must be in [0, 1), got 1"),
    "depth": ((*BASELINE, "model.depth=11"), "model: depth must be 6n + 4", "got 11"),
    "padding": ((*BASELINE, "augment.padding=40"), "augment: padding (40) must be smaller than the image (32"),
    "no image size": ((*BASELINE, "dataset.image_size=0"), "dataset.image_size must be at least 1, got 0"),
    "channels": ((*BASELINE, "dataset.std=[1,1]"), "dataset", "three numbers", "[1, 1]"),
    "generator's size": ((*GRID, "generator.image_size=66"), "multiple of 4", "got 66", "set generator.image_size=68"),
    "size for a generator": (
        ("+dataset=cifair10", GRID[1], "dataset.image_size=70"),
        "multiple of 4",
        "got 70",
        "set generator.image_size=72",
    ),
    "one sample per class": (
        (DIGITS, "+experiment=chimeramix_grid_direct", "max_labels_per_class=1", "mixer.include_self=false"),
        "mixer: include_self=false needs at least two samples",
    ),
    "probability": (
        (DIGITS, "+experiment=chimeramix_grid_direct", "mixer.probability=2"),
        "mixer: probability must be in [0, 1], got 2",
    ),
    "coins": (
        (DIGITS, "+experiment=chimeramix_grid_direct", "mask.mix_size=64"),
        "mixer: mix_size (64) must be at most the 32 positions",
    ),
    # The machine.
    "device": ((*BASELINE, "machine.device=gpu"), "machine.device=gpu: choose auto, cpu, cuda"),
    "no generator trained": (GRID, "needs the generator", "there is none", "train_generator.py +dataset=demo/digits"),
    # Sweeps: before any job starts, or even the sweep's folder is made.
    "sweep, key": ((*BASELINE, "seed=0,1", "lrr=1", "--multirun"), "unknown key lrr", "did you mean optimizer.lr?"),
    "sweep, option": (("+dataset=cifair10,cifiar10", "--multirun"), "dataset=cifiar10", "did you mean cifair10?"),
    "sweep, one value": ((*BASELINE, "max_labels_per_class=5,0", "-m"), "max_labels_per_class=0: must be at least 1"),
    "sweep of nothing": ((*BASELINE, "seed=range(0,0)", "-m"), "this sweep has no jobs"),
    # Dry runs.
    "dry run, added key": (("--cfg", "job", "--resolve", *BASELINE, "+lrr=1"), "unknown key lrr", "optimizer.lr?"),
    "dry run, nested": (("--cfg", "job", "--resolve", *BASELINE, "optimizer.lrr=1"), "did you mean optimizer.lr?"),
    "dry run, value": (("-c", "job", *BASELINE, "seed=-1"), "seed=-1: must not be negative"),
}

GENERATOR_MISTAKES = {
    "epochs": ((*GRID, "epochs=3"), "epochs belongs to the classifier", "generator.epochs"),
    "batch size": ((*GRID, "batch_size=3"), "generator's key is generator.batch_size"),
    "optimizer": ((*GRID, "optimizer.lr=3"), "generator's key is generator.optimizer.lr"),
    "key without its group": ((*GRID, "lrr=1"), "unknown key lrr", "did you mean generator.optimizer.lr?"),
    "nested key": ((*GRID, "generator.discriminator.featurs=1"), "did you mean generator.discriminator.features?"),
    "no epochs": ((*GRID, "generator.epochs=0"), "generator", "epochs", "must be at least 1"),
    "type": ((*GRID, "generator.epochs=many"), "generator.epochs=many: must be a whole number"),
    "fraction": ((*GRID, "generator.batch_size=0.5"), "generator.batch_size=0.5: must be a whole number"),
    "list": ((*GRID, "generator.optimizer.betas=[a,b]"), "generator.optimizer.betas=", "must be a list of numbers"),
    "part": ((*GRID, "generator.perceptual=null"), "generator.perceptual is not set"),
    "size": ((*GRID, "generator.image_size=66"), "multiple of 4", "got 66", "set generator.image_size=68"),
    "small size": ((*GRID, "generator.image_size=16"), "at least 32, got 16", "set generator.image_size=32"),
    "size of the images": (
        ("+dataset=cifair10", GRID[1], "dataset.image_size=70"),
        "multiple of 4",
        "got 70",
        "set generator.image_size=72",
    ),
    "coins": ((*GRID, "mask.mix_size=64"), "mix_size (64) must be at most the 8 positions"),
    "no coins": ((*GRID, "mask.mix_size=0"), "mix_size must be at least 1, got 0"),
    "split": ((*GRID, "generator.split=9"), "generator: split must be between 0 and blocks (4), got 9"),
    "milestones": ((*GRID, "generator.schedule.milestones=[2]"), "generator.schedule: milestones must be shares"),
    "padding": ((*GRID, "generator.augment.padding=40"), "generator.augment: padding (40) must be smaller"),
    "segments": (
        (DIGITS, "+experiment=chimeramix_segmentation", "mask.scale=-1"),
        "scale must be positive",
    ),
    "alone in its class": (
        (*GRID, "max_labels_per_class=1", "generator.include_self=false"),
        "generator: include_self=false needs at least two samples",
    ),
    "more labels than there are": ((*GRID, "max_labels_per_class=500"), "is 500", "set max_labels_per_class=79"),
}


@pytest.mark.parametrize(
    ("role", "words", "expected"),
    [
        pytest.param(role, words, expected, id=f"{role}: {name}")
        for role, mistakes in (("classifier", CLASSIFIER_MISTAKES), ("generator", GENERATOR_MISTAKES))
        for name, (words, *expected) in mistakes.items()
    ],
)
def test_mistakes(role, words, expected, refusal):
    line = refusal(role, *words)
    for part in expected:
        assert part in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lrr: 1", "experiment/foo.yaml: unknown key lrr; did you mean optimizer.lr?"),
        ("optimizer: {lrr: 1}", "unknown key optimizer.lrr; did you mean optimizer.lr?"),
        ("machine: {devic: cpu}", "experiment/foo.yaml: unknown key machine.devic; did you mean machine.device?"),
        ("recipe: {lrr: 1}", "experiment/foo.yaml: unknown key recipe.lrr; did you mean recipe.lr?"),
        ("seed: first", "experiment/foo.yaml: seed=first: must be a whole number"),
        ("mixer: {probability: often}", "unknown key mixer.probability"),
        ("model: {dropout: often}", "model.dropout=often: must be a number"),
        ("defaults: [override /model: resnet5]", "did you mean resnet50?"),
        ("defaults: [override /modell: resnet50]", "there is no config group modell; did you mean model?"),
        ("model: 5", "there is no model here: choose one with model=NAME (resnet18,"),
        ("seed: [1", "not valid YAML: "),
    ],
)
def test_mistakes_in_an_experiment_file(text, expected, refusal, tmp_path):
    (tmp_path / "more" / "experiment").mkdir(parents=True)
    (tmp_path / "more" / "experiment" / "foo.yaml").write_text(f"# @package _global_\n{text}\n")
    words = (DIGITS, "+experiment=foo", "--config-dir", str(tmp_path / "more"))
    assert expected in refusal("classifier", *words)
    assert expected in refusal("classifier", *words, "--cfg", "job")


@pytest.mark.parametrize("device", ["cuda", "cuda:7"])
def test_a_gpu_where_there_is_none(device, refusal, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    line = refusal("classifier", *BASELINE, f"machine.device={device}")
    assert line == f"machine.device={device}: this machine has no CUDA GPU; use machine.device=auto or cpu"


def test_a_gpu_too_many(refusal, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert "machine.device=cuda:7: this machine has 1 CUDA GPU;" in refusal(
        "classifier", *BASELINE, "machine.device=cuda:7"
    )


def test_a_sweep_without_slurm(refusal, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    line = refusal("classifier", *BASELINE, "seed=0,1", "hydra.launcher.partition=gpu", "--multirun")
    assert "no Slurm on this machine" in line
    assert "hydra/launcher=basic" in line


def image_folder(root):
    for number, path in enumerate(f"{part}/{name}" for part in ("train", "test") for name in ("cat", "dog")):
        (root / path).mkdir(parents=True)
        for position in range(2):
            Image.new("RGB", (8, 8), (number, position, 0)).save(root / path / f"{position}.png")
    return root


def _remove_class(root):
    for path in (root / "test" / "dog").iterdir():
        path.unlink()
    (root / "test" / "dog").rmdir()


def _empty_class(root):
    for path in (root / "train" / "cat").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        pytest.param(_empty_class, ("train/cat has no images",), id="empty class"),
        pytest.param(_remove_class, ("classes that", "lacks: dog"), id="class missing"),
        pytest.param(
            lambda root: (root / "train/cat/0.png").write_bytes(b"no image"),
            ("train/cat/0.png can't be read",),
            id="file",
        ),
        pytest.param(
            lambda root: (root / "test/dog/1.png").write_bytes((root / "test/dog/1.png").read_bytes()[:40]),
            ("test/dog/1.png can't be read",),
            id="truncated",
        ),
        pytest.param(lambda root: (root / "train/cat/a.txt").touch(), ("a.txt is not an image file",), id="other file"),
        pytest.param(lambda root: (root / "train").rename(root / "trian"), ("train is missing",), id="part missing"),
    ],
)
def test_a_folder_of_images_that_is_not_in_order(spoil, expected, refusal, tmp_path):
    root = image_folder(tmp_path / "images")
    spoil(root)
    line = refusal("classifier", "+dataset=own/image_folder", f"dataset.root={root}", "max_labels_per_class=2")
    for part in expected:
        assert part in line


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "dataset.root is not set: add dataset.root=DIR"),
        (("dataset.root=absent",), "dataset.root=absent is not a folder"),
    ],
)
def test_a_folder_of_images_that_is_missing(words, expected, refusal):
    assert expected in refusal("classifier", "+dataset=own/image_folder", *words)


def test_runs_cannot_be_written_below_a_file(refusal, tmp_path):
    (tmp_path / "file").touch()
    line = refusal("classifier", *BASELINE, *TINY, f"machine.runs_dir={tmp_path}/file/runs")
    assert f"machine.runs_dir: {tmp_path}/file/runs/" in line
    assert "can't be written" in line
    assert "machine.runs_dir=DIR" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_runs_cannot_be_written_into_a_locked_folder(refusal, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    line = refusal("classifier", *BASELINE, *TINY, f"machine.runs_dir={tmp_path}/locked")
    assert "can't be written (Permission denied)" in line


def test_a_damaged_checkpoint(command, refusal):
    words = (*BASELINE, *TINY)
    status, _, lines = command("classifier", *words)
    assert status == 0, lines
    (folder,) = Path("runs/classifier").iterdir()
    (folder / "result.json").unlink()
    checkpoint = folder / "checkpoint.pt"
    whole = checkpoint.read_bytes()

    checkpoint.write_bytes(whole[: len(whole) // 2])
    line = refusal("classifier", *words)
    assert f"{checkpoint} is damaged" in line
    assert "rerun=true" in line

    checkpoint.write_bytes(whole)
    state = torch.load(checkpoint, weights_only=True)
    torch.save({**state, "identity": "0123456789ab"}, checkpoint)
    line = refusal("classifier", *words)
    assert f"{checkpoint} belongs to another configuration (identity 0123456789ab, not {state['identity']})" in line
    assert "rerun=true" in line

    status, _, lines = command("classifier", *words, "rerun=true")
    assert (status, "test accuracy" in lines[-1]) == (0, True)
    status, _, lines = command("classifier", *words)
    assert (status, len(lines)) == (0, 1)
    assert lines[0].startswith("done already: ")

    (folder / "result.json").write_text("{")
    assert "result.json is damaged" in refusal("classifier", *words)


def test_a_generators_run_that_is_missing_or_unfinished(command, refusal, tmp_path):
    """The message holds the command that mends it, to be pasted into a shell."""
    words = (*GRID, *TINY, *TINY_GENERATOR, "mixer.probability=1", "wandb.project='a b'")
    line = refusal("classifier", *words)
    told = re.fullmatch(r"this run needs the generator (\w+), and there is none; train it with: python (.*)", line)
    script, *arguments = shlex.split(told[2])
    assert Path(script) == ROOT / "train_generator.py"
    assert arguments == [*GRID, "max_labels_per_class=2", "machine.device=cpu", *TINY_GENERATOR, "wandb.project='a b'"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        f"{shlex.quote(sys.executable)} {told[2]}", shell=True, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    (folder,) = Path("runs/generator").iterdir()
    assert folder.name.endswith(told[1])

    status, _, lines = command("classifier", *words)
    assert status == 0, lines

    weights = folder / "generator.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    line = refusal("classifier", *words, "seed=0", "epochs=2")
    assert f"{weights} is damaged" in line
    assert line.endswith(" rerun=true")
    weights.write_bytes(whole)

    (folder / "result.json").unlink()
    line = refusal("classifier", *words, "epochs=2")
    assert f"its training in {folder} is not finished; train it with: python {told[2]}" in line


def test_the_mending_command_keeps_a_folder_of_options(refusal, tmp_path):
    (tmp_path / "more" / "experiment").mkdir(parents=True)
    (tmp_path / "more" / "experiment" / "foo.yaml").write_text("# @package _global_\ndefaults: [chimeramix_grid]\n")
    line = refusal("classifier", DIGITS, "+experiment=foo", "--config-dir", str(tmp_path / "more"))
    assert f"train_generator.py --config-dir={tmp_path}/more +dataset=demo/digits +experiment=foo" in line


def test_nothing_to_do_is_no_mistake(command, tmp_path):
    before = tree(tmp_path)
    assert command("generator", *BASELINE) == (0, "", ["baseline trains no generator: nothing to do"])
    assert tree(tmp_path) == before


def test_dry_run_prints_the_configuration(command, tmp_path):
    before = tree(tmp_path)
    status, out, lines = command("classifier", "--cfg", "job", "--resolve", *GRID, "seed=3")
    assert (status, lines) == (0, [])
    assert "\nsplit_seed: 3\n" in out
    assert "${" not in out
    assert tree(tmp_path) == before


@pytest.mark.parametrize("role", ["generator", "classifier"])
def test_help_shows_options_and_keys(role, command):
    status, out, lines = command(role, "--help")
    assert (status, lines) == (0, [])
    for part in ("chimeramix_segmentation", "dataset/demo: digits", "max_labels_per_class: 10"):
        assert part in out


def test_a_sweep_reports_failed_jobs_and_goes_on(command, tmp_path):
    """Runs whose settings are fine, but not their images: named job by job, and with status 1 at the end."""
    good, bad = image_folder(tmp_path / "good"), image_folder(tmp_path / "bad")
    (bad / "train/cat/0.png").write_bytes(b"no image")
    words = ("+dataset=own/image_folder", f"dataset.root={bad},{good}", "dataset.image_size=8", "+experiment=baseline")
    status, _, lines = command("classifier", *words, *TINY, "hydra/launcher=basic", "--multirun")
    assert status == 1
    # Once when it happened, once in the summary.
    assert sum("train/cat/0.png can't be read" in line for line in lines) == 2
    assert any("test accuracy" in line for line in lines)
    assert lines[-1].startswith("error: 1 done, 1 failed of 2 runs; for the rest repeat: python ")


@pytest.mark.parametrize("words", [(*BASELINE, "lrr=1"), (*BASELINE, "model.dropout=1"), ("--cfg", "job", "+lrr=1")])
def test_mistakes_in_a_process_of_its_own(words, tmp_path):
    """The same once more without this process's help."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "train_classifier.py"), *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
