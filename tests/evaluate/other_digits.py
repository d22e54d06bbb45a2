"""Data sets that the tests evaluate classifiers on."""

from chimeramix.data.digits import Digits
from chimeramix.data.source import ImagesInMemory


class Backwards(Digits):
    """The digits, their classes numbered from the last one."""

    def train(self) -> ImagesInMemory:
        raise AssertionError("an evaluation needs no training part")

    def test(self) -> ImagesInMemory:
        part = super().test()
        return ImagesInMemory(part.classes[::-1], 9 - part.labels, part._images, self.image_size)


class OfOnesOwn(Backwards):
    """The same by a class that knows the size of images only, as one's own may."""

    def test(self) -> "Part":  # type: ignore[override]
        return Part(super().test())


class Part:
    def __init__(self, part: ImagesInMemory) -> None:
        self.classes, self.labels, self.read = part.classes, part.labels, part.read
