"""One image file of any usual kind, decoded to 8-bit RGB: cut to a square, or whole."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from chimeramix.data.resize import resize as resize_array
from chimeramix.errors import UserError

Resize = Literal["crop", "squash"]

EIGHT_BIT_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV", "LAB"}
_ON_THEIR_SIDE = {5, 6, 7, 8}  # EXIF orientations that exchange width and height


def check_resize(resize: Resize, size: int, resize_to: int | None) -> None:
    """Raises `ValueError` for settings of which no image can be made."""
    if resize not in ("crop", "squash"):
        raise ValueError(f"dataset.resize must be crop or squash, got {resize}")
    if resize_to is not None and resize_to < size:
        raise ValueError(f"dataset.resize_to must be at least dataset.image_size={size}, got {resize_to}")


@dataclass(frozen=True)
class Reading:
    """How a data set makes its squares: the same for any other image, so that a classifier sees what it was trained on.

    Attributes:
        size: side S.
        resize: of image files: `crop` scales the shorter side to S and cuts out the centre; `squash` scales both sides
            to S; both are bilinear with antialias. `array` for a data set whose images lie in memory: the centre is cut
            out of what is no square, and scaled as those are (`chimeramix.data.resize`).
        resize_to: side that is taken for S in that; of a larger one the centre of side S is cut out afterwards.
    """

    size: int
    resize: Literal["crop", "squash", "array"]
    resize_to: int | None = None

    @classmethod
    def of(cls, source: Any) -> "Reading":
        """That of a data set (see `DataSource`)."""
        return cls(source.image_size, getattr(source, "resize", "array"), getattr(source, "resize_to", None))

    def __call__(self, image: str | Path | Image.Image | Tensor) -> Tensor:
        """One image as the data set would hold it.

        Args:
            image: the path of a file, an opened image, or `[3, H, W]` uint8.

        Returns:
            `[3, S, S]` uint8.

        Raises:
            UserError: for a file that can't be decoded in full, and for 16-bit or floating-point pixels.
            ValueError: for a tensor of another shape or kind.
        """
        if isinstance(image, Tensor):
            if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3 or not image.numel():
                raise ValueError(f"an image must be uint8 [3, height, width], got {image.dtype} {list(image.shape)}")
            rgb = Image.fromarray(image.permute(1, 2, 0).cpu().numpy())
        else:
            rgb = _rgb_of(image, "this image") if isinstance(image, Image.Image) else decode(Path(image))
        if self.resize != "array":
            return torch.from_numpy(np.ascontiguousarray(_square(rgb, self.size, self.resize, self.resize_to)))
        side = min(rgb.size)
        left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
        square = rgb.crop((left, top, left + side, top + side))
        return resize_array(torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].contiguous(), self.size)[0]

    def squares(self, images: Tensor) -> Tensor:
        """`[n, 3, S, S]` uint8: many images that lie in memory, `[n, 3, h, w]` uint8 on the CPU, each read as above."""
        height, width = images.shape[2:]
        if height == width and self.resize == "array":
            return resize_array(images, self.size)
        if height == width == self.size and self.resize_to in (None, self.size):
            return images  # whichever rule: nothing is cut or scaled
        read = images.new_empty((len(images), 3, self.size, self.size))
        for position, image in enumerate(images):
            read[position] = self(image)
        return read


def _square(rgb: Image.Image, size: int, resize: Resize, resize_to: int | None) -> np.ndarray:
    scaled = (resize_to or size,) * 2
    if resize == "crop":
        square = ImageOps.fit(rgb, scaled, method=Image.Resampling.BILINEAR)
    else:
        square = rgb.resize(scaled, Image.Resampling.BILINEAR)
    start = (scaled[0] - size) // 2
    return np.asarray(square)[start : start + size, start : start + size].transpose(2, 0, 1)


def size_of(path: Path, longest: int) -> tuple[int, int]:
    """Height and width of what `read_whole` makes of an image; its pixels are not decoded. Raises `UserError`."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.getexif().get(ExifTags.Base.Orientation) in _ON_THEIR_SIDE:
                width, height = height, width
    except Exception as error:
        raise _unreadable(path, error) from error
    shrink = min(1.0, longest / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def read_whole(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Decodes without cutting: `[3, h, w]` uint8 of the height and width that `size_of` gave."""
    rgb, (height, width) = decode(path), size
    if rgb.size != (width, height):
        rgb = rgb.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(rgb).transpose(2, 0, 1)


def decode(path: Path) -> Image.Image:
    """An image file as 8-bit RGB, uncut: its first frame, turned as its EXIF orientation says, without transparency.

    Grey becomes three equal channels; transparent pixels keep the colour they are stored with.

    Raises:
        UserError: The file can't be decoded in full, or holds 16-bit or floating-point pixels.
    """
    try:
        with Image.open(path) as image:
            return _rgb_of(image, path)
    except UserError:
        raise
    except Exception as error:  # PIL's decoders raise nearly anything when a file is damaged
        raise _unreadable(path, error) from error


def _rgb_of(image: Image.Image, name: object) -> Image.Image:
    # PIL has no colour mode of 16 bits: it cuts such pixels to their upper 8, and only the tiles tell.
    cut = any(re.search(r";16[BLNS]", str(tile[3])) for tile in getattr(image, "tile", ()))
    if image.mode not in EIGHT_BIT_MODES or cut:
        kind = "16 bits a channel" if cut else f"pixels of mode {image.mode}, not 8 bits"
        raise UserError(f"{name} has {kind}: convert it to an 8-bit image")
    return _to_rgb(ImageOps.exif_transpose(image))


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{path} can't be read as an image ({reason}): replace or remove it")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("P", "PA"):
        # PIL warns when a palette with transparency goes to RGB directly; the colours are the same.
        image = image.convert("RGBA")
    return image.convert("RGB")
