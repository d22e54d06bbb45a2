"""What a run trains with instead of plain supervised steps: the configuration's `procedure`."""

from torch import nn

from chimeramix.data.views import Views
from chimeramix.streams import RunStreams
from chimeramix.training.classifier import ClassifierTraining


class Procedure:
    """The parameters of an algorithm, from which it makes its training. It mixes images itself.

    Attributes:
        unlabelled: training images outside the labelled subset that it uses without their labels; 0 for the labelled
            ones, once more; None for an algorithm without such images.
        transductive: whether these are the test images, too.
    """

    unlabelled: int | None = None
    transductive: bool = False

    def check(self, model: nn.Module, num_classes: int, image_size: int) -> None:
        """Raises `ValueError` for a model that the algorithm can't train.

        Args:
            model: `[B, 3, S, S]` to logits `[B, K]`, on any device; its weights and statistics stay as they are.
        """

    def training(self, plain: ClassifierTraining, streams: RunStreams, unlabelled: Views | None) -> ClassifierTraining:
        """The training, with the parts of a plain one.

        Args:
            streams: all that it may draw from.
            unlabelled: views of the unlabelled images, where `unlabelled` is not None.

        Raises:
            ValueError: see `check`, and for other parts that the algorithm can't do with.
        """
        raise NotImplementedError
