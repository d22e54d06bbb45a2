"""Mistakes in the words of a classifier's command."""

import pytest

from tests.bad_input.words import BASELINE, DIGITS, GRID

# Name: words of the command, then parts of the line.
MISTAKES = {
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
    "mixer without a generator": (
        (*BASELINE, "mixer=chimera", "mask=grid"),
        "needs a generator",
        "choose generator=chimera",
    ),
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
    "sign in a folder": (
        (*BASELINE, "machine.runs_dir=~/runs (1)"),
        "runs_dir=~/runs (1): not of the form KEY=VALUE",
        """if its value is a text, put it in quotes: 'machine.runs_dir="~/runs (1)"'""",
    ),
    "comma in a folder": ((*BASELINE, "machine.runs_dir=a,b"), """or a text: 'machine.runs_dir="a,b"'"""),
    "equals in a folder": ((*BASELINE, "machine.runs_dir=a=b"), """put it in quotes: 'machine.runs_dir="a=b"'"""),
    "of Hydra's": ((*BASELINE, "hydra.foo=1"), "hydra.foo=1: has no effect here"),
    "of another group": ((*BASELINE, "loss.weight=1"), "unknown key loss.weight; loss has label_smoothing"),
    "of no group": ((*BASELINE, "optimizer.name=sgd"), "optimizer.name; optimizer has lr, momentum, nesterov, weight"),
    "added to a group": ((*BASELINE, "+augment.colour=1"), "unknown key augment.colour"),
    # Types.
    "text for a number": (
        (*BASELINE, "max_labels_per_class=five"),
        "=five: must be a whole number, or null for all samples",
    ),
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
        "mixer: needs a generator with features to mix: choose generator=chimera",
    ),
    "a generator without codes": (
        (*GRID, "mixer=glico"),
        "mixer: needs a generator with latent codes: choose generator=glico",
    ),
    "a generator without mixtures": ((*GRID, "mixer=supermix"), "mixer: needs a generator with stored mixtures"),
    "no option": ((*BASELINE, "model=null"), "model=null: choose an option by its name: ", " resnet18,"),
    "no group": ((*BASELINE, "schedule=null"), "schedule=null: choose an option by its name: constant, cosine"),
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
    "a number for a choice": ((*BASELINE, "machine.compile=1"), "machine.compile=1: must be false or true or graphs"),
    "key of an option": ((*BASELINE, "experiment.foo=1"), "unknown key experiment.foo; choose", "+experiment=NAME"),
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
    "levels": ((*BASELINE, "model=harmonic_wideresnet_10_2", "model.levels=9"), "levels must be from 1 to 5", "got 9"),
    "levels of other groups": (
        (*BASELINE, "model=harmonic_resnet18", "model.levels=[null,3,2]"),
        "model: levels must be one number or a list of 4, one for each group, got [None, 3, 2]",
    ),
    "no levels": (
        (*BASELINE, "model=harmonic_wideresnet_10_2", "model.levels=[a]"),
        "model.levels=['a']: must be a whole number or a list of whole numbers and nulls or null",
    ),
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
    "mixer of another generator": ((*BASELINE, "mixer=glico"), "mixer: needs a generator", "choose generator=glico"),
    "no rate": ((*BASELINE, "~optimizer.lr"), "optimizer.lr is missing: add optimizer.lr=VALUE"),
    "whole optimizer": ((*BASELINE, "optimizer._partial_=false"), "optimizer._partial_=false: must be true"),
    "part of a model": ((*BASELINE, "+model._partial_=true"), "model._partial_=true: must be false"),
    "no seconds": ((*BASELINE, "monitor.checkpoint_seconds=nan"), "checkpoint_seconds=nan: must be a number"),
    "square beyond the image": ((*BASELINE, "erase=cutout", "erase.size=33"), "erase: size must be at most", "got 33"),
    "wavelets beyond the image": ((DIGITS, "+experiment=scattering", "model.scales=10"), "model: images of 32 x 32"),
    "epochs without end": (
        (*BASELINE, "epochs=1000000000000"),
        "epochs=1000000000000: these are",
        "at most 100,000,000",
    ),
    "epoch without end": ((*BASELINE, "epoch_labels_per_class=1000000000000"), "epoch_labels_per_class so that"),
    # What names a folder or stands in a table.
    "no folder": ((*BASELINE, "machine.runs_dir="), "machine.runs_dir=: must not be empty"),
    "no name": ((*BASELINE, "dataset.name="), "dataset.name=: must not be empty"),
    "dots": ((*BASELINE, "dataset.name=.."), "dataset.name=..: must be", "without a dot in front"),
    "folders for a name": ((*BASELINE, "dataset.name=a/b"), "dataset.name=a/b: must be", "without slashes"),
    "endless name": ((*BASELINE, f"dataset.name={'a' * 101}"), "must be at most 100 characters"),
    "two lines": ((*BASELINE, "method='a\nb'"), "method='a\\nb': must be one line"),
    "no UTF-8": ((*BASELINE, "method=a\udcff"), "method=a\\udcff: not of the form KEY=VALUE"),
    # More memory than any machine has.
    "wide model": ((*BASELINE, "model.width=1000000"), "model: would take more than", "choose a smaller one"),
    "batch of a wide model": (
        (*BASELINE, "model.width=64", "batch_size=1000000", "epoch_labels_per_class=1000000"),
        "model and batch_size: would take more than",
    ),
    "large images": ((*BASELINE, "dataset.image_size=1000000"), "images of 1000000 pixels: would take more than"),
    # The machine.
    "threads": ((*BASELINE, "machine.threads=100000"), "machine.threads=100000: must be at most", "4 for each CPU"),
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


@pytest.mark.parametrize(
    ("words", "expected"), [pytest.param(words, expected, id=name) for name, (words, *expected) in MISTAKES.items()]
)
def test_mistakes(words, expected, refusal):
    line = refusal("classifier", *words)
    for part in expected:
        assert part in line
