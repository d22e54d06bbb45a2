"""chimeramix: image classifiers trained from scratch on a handful of labelled images per class."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from chimeramix.runs.classifier import Classifier
    from chimeramix.runs.generator import TrainedGenerator

__version__ = "0.1.0"


def load_classifier(path: str | Path, device: "torch.device | str" = "cpu", trust: bool = False) -> "Classifier":
    """A trained classifier as a `torch.nn.Module`, frozen and in evaluation mode.

    It takes normalised images `[B, 3, S, S]` float32 and gives logits `[B, K]` float32. `preprocess` makes one of them,
    `[3, S, S]`, of a file, a PIL image or a tensor `[3, H, W]` uint8, as the run's data set reads its images; `classes`
    names the K classes in the order of the logits; `image_size` is S. Where the run was evaluated in several views
    (`evaluation.views`), so is each image, and the logits are the logarithm of the mean probability.

    Needs `pip install "chimeramix[train]"`.

    Args:
        path: the folder of a finished classifier's run, or one that `chimeramix export --format hub` wrote.
        device: where the module is.
        trust: whether an exported folder may name code outside of this package, such as timm's, which is then called.

    Raises:
        chimeramix.errors.UserError: in one line, for a folder that holds no finished classifier, and for damaged files.
    """
    from chimeramix.runs.classifier import load_classifier as load

    return load(path, device, trust)


def load_generator(path: str | Path, device: "torch.device | str" = "cpu") -> "TrainedGenerator":
    """A trained generator as a `torch.nn.Module`, frozen and in evaluation mode; images in and out are uint8.

    A ChimeraMix generator has `compose(images, mask=None, seed=0)`, `draw_masks(images, seed=0)`,
    `reconstruct(images)` and `mixer(images, labels)` for a training loop; one of GLICO has `between(first, second,
    weight)`. All of them have `classes`, `image_size`, `network` and `positions`, those of the training images. For
    shapes, values and errors see the methods of `chimeramix.runs.generator.TrainedGenerator`.

    Needs `pip install "chimeramix[train]"`, but not the data set.

    Args:
        path: the folder of a finished generator's run.
        device: where the module is.

    Raises:
        chimeramix.errors.UserError: in one line, for a folder that holds no finished generator, and for damaged files.
    """
    from chimeramix.runs.generator import load_generator as load

    return load(path, device)
