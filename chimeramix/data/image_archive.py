"""Published data sets that come as an archive of image files, which are decoded when they are drawn.

torchvision has no class for them. Their files have no published checksums, so the archive's vouches for all: what lies
in `data_dir` counts once it was extracted to the end from the published archive (see `download.Release`).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from chimeramix.data.download import Release, fetch
from chimeramix.data.image_file import Resize, check_resize
from chimeramix.data.image_folder import FolderImages, Listing
from chimeramix.data.source import Source
from chimeramix.errors import UserError

_TINY_IMAGENET = "90528d7ca1a48142e341f4ef8d21d0de"  # md5 of the published archive


class ImageArchive(Source):
    """A data set of image files (other arguments: see `Source`).

    Images are scaled so that the shorter side is `resize_to`, and the centre of `image_size` is cut out.

    Args:
        resize_to: at least `image_size`; None for that.

    Attributes:
        url, md5: of the archive.
        folders: of the archive, with the images.
        lists: files of the archive that tell labels and parts.
        rectangles: whether images may be no squares.
    """

    url: ClassVar[str]
    md5: ClassVar[str]
    folders: ClassVar[tuple[str, ...]]
    lists: ClassVar[tuple[str, ...]]
    rectangles: ClassVar[bool] = True
    resize: ClassVar[Resize] = "crop"
    _prepared = False

    def __init__(
        self,
        name: str,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        resize_to: int | None = None,
        data_dir: str = "data",
        mirror: str | None = None,
        workers: int = 4,
        needs_test: bool = True,
    ) -> None:
        super().__init__(name, image_size, mean, std, data_dir, mirror, workers, needs_test)
        check_resize(self.resize, image_size, resize_to)
        self.resize_to = resize_to

    def prepare(self) -> None:
        """Fetches, checks and extracts what is missing; raises `UserError` where that can't be done."""
        if not self._prepared:
            lists = tuple((name, None) for name in self.lists)
            fetch(Release(self.name, self.url, self.md5, lists, self.folders), self.data_dir, self.mirror)
            self._prepared = True

    def facts(self) -> dict[str, Any]:
        """Empty: the name identifies the images, since only what the published archive holds is accepted."""
        return {}

    def train(self) -> FolderImages:
        """The published training part; prepares the data on first use."""
        return self._part(train=True)

    def test(self) -> FolderImages:
        """The published test part; prepares the data on first use."""
        return self._part(train=False)

    def _part(self, train: bool) -> FolderImages:
        self.prepare()
        try:
            listing = self._listing(train)
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"dataset {self.name}: {self.data_dir / self.lists[0]} and its neighbours are not the published files "
                f"({reason}): remove them, so that they are extracted again"
            ) from error
        return FolderImages(listing, self.image_size, self.resize, self.workers, self.resize_to, self.rectangles)

    def _listing(self, train: bool) -> Listing:
        """Image files of each class, classes and files in the order of the release."""
        raise NotImplementedError

    def _lines(self, name: str) -> list[list[str]]:
        """The words of each line of a list."""
        return [line.split() for line in (self.data_dir / name).read_text(encoding="utf-8").splitlines() if line]


def _check_sizes(listing: Listing, sizes: Sequence[int]) -> None:
    """Raises `ValueError` where classes have other numbers of images than published."""
    if len(listing) != len(sizes):
        raise ValueError(f"{len(listing)} classes, not {len(sizes)}")
    for (name, files), size in zip(listing.items(), sizes, strict=True):
        if len(files) != size:
            raise ValueError(f"{name} has {len(files)} images, not {size}")


class CUB200(ImageArchive):
    """CUB-200-2011 (Wah et al. 2011): 200 classes of birds, 5,994 training and 5,794 test images of about 500 pixels.

    29 or 30 training images a class, by the release's own split (arguments: see `ImageArchive`).
    """

    url: ClassVar[str] = "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz"
    md5: ClassVar[str] = "97eceeb196236b17998738112f37df78"
    folders: ClassVar[tuple[str, ...]] = ("CUB_200_2011/images",)
    lists: ClassVar[tuple[str, ...]] = tuple(
        f"CUB_200_2011/{name}.txt" for name in ("images", "image_class_labels", "train_test_split", "classes")
    )

    def _listing(self, train: bool) -> Listing:
        files, labels, parts, classes = (dict(self._lines(name)) for name in self.lists)
        listing: Listing = {name: [] for name in classes.values()}
        images = self.data_dir / "CUB_200_2011" / "images"
        for number, file in files.items():
            if (parts[number] == "1") == train:
                listing[classes[labels[number]]].append(images / file)
        return listing


class TinyImageNet(ImageArchive):
    """Tiny-ImageNet (Stanford CS231n): 200 classes, 100,000 training images of 64 x 64 pixels.

    Its 10,000 validation images are the test part, as everywhere: those of its test folder have no labels. Classes are
    named and ordered by their WordNet numbers (arguments: see `ImageArchive`).
    """

    url: ClassVar[str] = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
    md5: ClassVar[str] = _TINY_IMAGENET
    folders: ClassVar[tuple[str, ...]] = ("tiny-imagenet-200/train", "tiny-imagenet-200/val/images")
    lists: ClassVar[tuple[str, ...]] = ("tiny-imagenet-200/wnids.txt", "tiny-imagenet-200/val/val_annotations.txt")
    rectangles: ClassVar[bool] = False
    sizes: ClassVar[tuple[int, ...]] = (500,) * 200

    def class_sizes(self) -> tuple[int, ...]:
        """As published; nothing is downloaded."""
        return self.sizes

    def _listing(self, train: bool) -> Listing:
        root = self.data_dir / "tiny-imagenet-200"
        classes = sorted(words[0] for words in self._lines(self.lists[0]))
        if train:
            # Beside the images lie lists of boxes. In the order of names, as torchvision's ImageFolder has them.
            found = {name: sorted((root / "train" / name / "images").glob("*.JPEG")) for name in classes}
            if self.md5 == _TINY_IMAGENET:  # whose sizes are known; where a file is missing, others would be drawn
                _check_sizes(found, self.sizes)
            return found
        listing: Listing = {name: [] for name in classes}
        for file, name, *_ in self._lines(self.lists[1]):
            listing[name].append(root / "val" / "images" / file)
        return listing
