"""One image file of any usual kind, decoded to a square of 8-bit RGB."""

import re
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from chimeramix.errors import UserError

Resize = Literal["crop", "squash"]

EIGHT_BIT_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV", "LAB"}


def read_image(path: Path, size: int, resize: Resize) -> np.ndarray:
    """Decodes an image: its first frame, turned as its EXIF orientation says, without transparency.

    Args:
        path: The file.
        size: Side S of the result.
        resize: `crop` scales the shorter side to S and cuts out the centre; `squash` scales both sides to S. Both are
            bilinear with antialias.

    Returns:
        `[3, S, S]` uint8. Grey becomes three equal channels; transparent pixels keep the colour they are stored with.

    Raises:
        UserError: The file can't be decoded in full, or holds 16-bit or floating-point pixels.
    """
    try:
        with Image.open(path) as image:
            # PIL has no colour mode of 16 bits: it cuts such pixels to their upper 8, and only the tiles tell.
            cut = any(re.search(r";16[BLNS]", str(tile[3])) for tile in image.tile)
            if image.mode not in EIGHT_BIT_MODES or cut:
                kind = "16 bits a channel" if cut else f"pixels of mode {image.mode}, not 8 bits"
                raise UserError(f"{path} has {kind}: convert it to an 8-bit image")
            rgb = _to_rgb(ImageOps.exif_transpose(image))
    except UserError:
        raise
    except Exception as error:  # PIL's decoders raise nearly anything when a file is damaged
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} can't be read as an image ({reason}): replace or remove it") from error
    if resize == "crop":
        square = ImageOps.fit(rgb, (size, size), method=Image.Resampling.BILINEAR)
    else:
        square = rgb.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(square).transpose(2, 0, 1)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("P", "PA"):
        # PIL warns when a palette with transparency goes to RGB directly; the colours are the same.
        image = image.convert("RGBA")
    return image.convert("RGB")
