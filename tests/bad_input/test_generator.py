"""Mistakes in the words of a generator's command."""

import pytest

from tests.bad_input.words import DIGITS, GRID

# Name: words of the command, then parts of the line.
MISTAKES = {
    "epochs": ((*GRID, "epochs=3"), "epochs belongs to the classifier", "generator.epochs"),
    "batch size": ((*GRID, "batch_size=3"), "generator's key is generator.batch_size"),
    "optimizer": ((*GRID, "optimizer.lr=3"), "generator's key is generator.optimizer.lr"),
    "key without its group": ((*GRID, "lrr=1"), "unknown key lrr", "did you mean generator.optimizer.lr?"),
    "nested key": ((*GRID, "generator.discriminator.featurs=1"), "did you mean generator.discriminator.features?"),
    "no epochs": ((*GRID, "generator.epochs=0"), "generator", "epochs", "must be at least 1"),
    "type": ((*GRID, "generator.epochs=many"), "generator.epochs=many: must be a whole number"),
    "fraction": ((*GRID, "generator.batch_size=0.5"), "generator.batch_size=0.5: must be a whole number"),
    "list": ((*GRID, "generator.optimizer.betas=[a,b]"), "generator.optimizer.betas=", "must be a list of 2 numbers"),
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
    "schedule": ((*GRID, "schedule=cosine"), "the generator's is schedule@generator.schedule=NAME"),
    "schedule's key": ((*GRID, "generator.schedule=cosine"), "chosen with schedule@generator.schedule=NAME"),
    "schedule's group": ((*GRID, "generator/schedule=cosine"), "chosen with schedule@generator.schedule=NAME"),
    "optimizer's option": ((*GRID, "optimizer=adamw"), "generator's is +optimizer@generator.optimizer=NAME"),
    "optimizer's key": ((*GRID, "generator.optimizer=adamw"), "chosen with +optimizer@generator.optimizer=NAME"),
    "optimizer without a plus": (
        (*GRID, "optimizer@generator.optimizer=adamw"),
        "write +optimizer@generator.optimizer=adamw, with a plus",
    ),
    "schedule with a plus": (
        (*GRID, "+schedule@generator.schedule=cosine"),
        "write schedule@generator.schedule=cosine, without the plus",
    ),
    "no key of a mask": ((*GRID, "generator.mask.mixsize=2"), "unknown key generator.mask.mixsize"),
    "mask's key": (
        (*GRID, "generator.mask.mix_size=2"),
        "unknown key generator.mask.mix_size; did you mean mask.mix_size?",
    ),
    "schedule of nothing": (
        (DIGITS, "+experiment=baseline", "schedule@generator.schedule=cosine"),
        "there is no generator here",
    ),
    "milestones": ((*GRID, "generator.schedule.milestones=[2]"), "generator.schedule: milestones must be shares"),
    "padding": ((*GRID, "generator.augment.padding=40"), "generator.augment: padding (40) must be smaller"),
    "segments": (
        (DIGITS, "+experiment=chimeramix_segmentation", "mask.scale=-1"),
        "scale must be positive",
    ),
    "one superpixel": (
        (DIGITS, "+experiment=chimeramix_segmentation", "mask.segment_size=1"),
        "segment_size=1 leaves no room for two superpixels",
    ),
    "large superpixels": (
        (DIGITS, "+experiment=chimeramix_segmentation", "mask.segment_size=5000000"),
        "superpixels of mask.segment_size=5000000: would take more than",
    ),
    "levels": ((*GRID, "generator.perceptual.levels=20"), "generator.perceptual: a side of 32 pixels", "levels=20"),
    "list of one": ((*GRID, "generator.optimizer.betas=[0.5]"), "betas=[0.5]: must be a list of 2 numbers"),
    "wide": ((*GRID, "generator.features=1000000"), "generator: would take more than", "choose a smaller one"),
    "large images": ((*GRID, "generator.image_size=1000000"), "images of generator.image_size=1000000: would take"),
    "epochs without end": ((*GRID, "generator.epochs=1000000000000"), "generator.epochs=1000000000000: these are"),
    "alone in its class": (
        (*GRID, "max_labels_per_class=1", "generator.include_self=false"),
        "generator: include_self=false needs at least two samples",
    ),
    "more labels than there are": ((*GRID, "max_labels_per_class=500"), "is 500", "set max_labels_per_class=79"),
}


@pytest.mark.parametrize(
    ("words", "expected"), [pytest.param(words, expected, id=name) for name, (words, *expected) in MISTAKES.items()]
)
def test_mistakes(words, expected, refusal):
    line = refusal("generator", *words)
    for part in expected:
        assert part in line
