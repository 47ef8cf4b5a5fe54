"""Reading and writing pictures: one decoding policy for the whole package.

What a file holds and what comes out, always uint8 RGB of shape (H, W, 3):

======================  ==========================================================================
file                    result
======================  ==========================================================================
8-bit RGB, CMYK, YCbCr  RGB
grey, 1-bit             the grey value in all three channels
16-bit grey             scaled to 8 bits (value × 255 / 65535), not saturated
palette                 RGB
alpha                   composited over black, the colour around an endoscopic field of view
EXIF orientation        applied
several frames          the first
truncated, not image    `ImageError`
more than `max_pixels`  `ImageError`, before any pixel is decoded
======================  ==========================================================================
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from polyp_aug.errors import ImageError, StorageError

ImageArray = npt.NDArray[np.uint8]
MaskArray = npt.NDArray[np.bool_]

#: Decoding limit in pixels. A 4K frame has 8.3 million.
MAX_PIXELS = 64_000_000

#: File name endings that `list_images` accepts, in lower case.
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def read_image(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> ImageArray:
    """Read a picture by the policy of this module.

    Returns:
        uint8 RGB of shape (H, W, 3), C-contiguous and writable.

    Raises:
        ImageError: the file is missing, empty, truncated, no picture, or has more than `max_pixels` pixels.
    """
    with _opened(path, max_pixels) as picture:
        return _decoded(picture, path)


def read_mask(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> MaskArray:
    """Read a mask picture: True where the grey value is at least 128 (JPEG masks have grey edges).

    Returns:
        bool of shape (H, W).

    Raises:
        ImageError: as `read_image`.
    """
    return np.asarray(channel_max(read_image(path, max_pixels=max_pixels)) >= 128)


def image_size(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(width, height) in pixels as `read_image` would return them (EXIF applied), from the header alone.

    Raises:
        ImageError: the header can't be read.
    """
    with _opened(path, max_pixels) as picture:
        width, height = picture.size
        if picture.getexif().get(0x0112, 1) >= 5:
            width, height = height, width
        return width, height


def encode_png(image: ImageArray | MaskArray) -> bytes:
    """The bytes of a PNG file, lossless.

    Args:
        image: uint8 RGB (H, W, 3), uint8 grey (H, W), or a bool mask (H, W), written as 0 and 255.

    Raises:
        ImageError: the array is empty or of another kind.
    """
    pixels: npt.NDArray[Any] = np.asarray(image.astype(np.uint8) * 255 if image.dtype == np.bool_ else image)
    if pixels.dtype != np.uint8 or pixels.size == 0 or not (pixels.ndim == 2 or pixels.shape[2:] == (3,)):
        raise ImageError(f"an array of shape {pixels.shape} and type {pixels.dtype} is no picture")
    _, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels)
    return data.tobytes()


def write_png(path: str | os.PathLike[str], image: ImageArray | MaskArray) -> None:
    """Write a PNG, losslessly and atomically: the file is there whole or not at all.

    Args:
        path: the file to make; its folder must exist.
        image: as for `encode_png`.

    Raises:
        ImageError: the array is no picture.
        StorageError: the file can't be written; nothing is left behind.
    """
    write_bytes(path, encode_png(image))


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file atomically: to a temporary file beside it, then renamed.

    Raises:
        StorageError: the file can't be written; nothing is left behind.
    """
    target = Path(path)
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise StorageError(error.errno, f"{target}: can't be written ({error.strerror or error})") from error


def channel_max(image: ImageArray) -> npt.NDArray[np.uint8]:
    """The largest channel of every pixel, uint8 (H, W); ten times as fast as NumPy's maximum over the last axis."""
    red, green, blue = cv2.split(image)
    return np.asarray(cv2.max(cv2.max(red, green), blue), dtype=np.uint8)


def channel_min(image: ImageArray) -> npt.NDArray[np.uint8]:
    """The smallest channel of every pixel, uint8 (H, W)."""
    red, green, blue = cv2.split(image)
    return np.asarray(cv2.min(cv2.min(red, green), blue), dtype=np.uint8)


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """All pictures below `folder`, sorted by relative POSIX path; hidden files and folders are left out.

    Raises:
        ImageError: `folder` is not a folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ImageError(f"{root}: not a folder")
    found = [
        path
        for path in root.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and path.is_file()
    ]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def _opened(path: str | os.PathLike[str], max_pixels: int) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Our own limit, checked below, replaces Pillow's warning.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(path)
    except UnidentifiedImageError as error:
        size = os.path.getsize(path)
        raise ImageError(f"{path}: not a picture ({size} bytes)" if size else f"{path}: empty file") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: too large to decode safely ({error})") from error
    except (OSError, ValueError, SyntaxError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ImageError(f"{path}: can't be opened ({reason})") from error
    width, height = picture.size
    if width * height > max_pixels:
        picture.close()
        raise ImageError(f"{path}: {width}×{height} pixels, more than the limit of {max_pixels:,}")
    return picture


def _decoded(picture: Image.Image, path: Any) -> ImageArray:
    try:
        picture.load()
        if picture.getexif().get(0x0112, 1) != 1:
            picture = ImageOps.exif_transpose(picture)
        if picture.mode in _SIXTEEN_BIT_MODES:
            return _from_sixteen_bit(np.asarray(picture))
        if picture.mode == "F":
            raise ImageError(f"{path}: floating-point pixels, expected integers of 8 or 16 bits")
        if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
            rgba = picture.convert("RGBA")
            black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
            picture = Image.alpha_composite(black, rgba)
        if picture.mode != "RGB":
            picture = picture.convert("RGB")
        return np.array(picture, dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{path}: damaged or truncated ({error})") from error


def _from_sixteen_bit(values: npt.NDArray[Any]) -> ImageArray:
    wide = np.clip(values.astype(np.int64), 0, 65535)
    grey = ((wide * 255 + 32767) // 65535).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2))
