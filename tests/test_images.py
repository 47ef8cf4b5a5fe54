"""One decoding policy: a row of the policy, a row of the table."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polyp_aug.errors import ImageError, StorageError
from polyp_aug.images import (
    channel_max,
    channel_min,
    encode_png,
    image_size,
    list_images,
    read_image,
    read_mask,
    write_bytes,
    write_png,
)

COLOURS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
GREY = COLOURS[:, :, 0]


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def grey_sixteen(path: Path) -> Path:
    return save(Image.fromarray(GREY.astype(np.uint16) * 257), path)


def transparent_palette(path: Path) -> Path:
    image = Image.new("P", (60, 40), 1)
    image.putpalette([0, 0, 0, 200, 100, 50, 10, 20, 30])
    image.putpixel((0, 0), 2)
    return save(image, path, transparency=2)


def rotated(path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6
    return save(Image.fromarray(COLOURS), path, exif=exif)


def half_transparent(path: Path) -> Path:
    alpha = np.full((40, 60, 1), 255, np.uint8)
    alpha[:, :30] = 0
    return save(Image.fromarray(np.concatenate([COLOURS, alpha], axis=2)), path)


def black_left(image: np.ndarray) -> np.ndarray:
    image = image.copy()
    image[:, :30] = 0
    return image


READABLE: list[tuple[str, Callable[[Path], Path], np.ndarray]] = [
    ("8-bit RGB PNG", lambda path: save(Image.fromarray(COLOURS), path), COLOURS),
    ("8-bit RGB TIFF", lambda path: save(Image.fromarray(COLOURS), path.with_suffix(".tif")), COLOURS),
    ("grey", lambda path: save(Image.fromarray(GREY), path), np.repeat(GREY[:, :, None], 3, 2)),
    ("16-bit grey PNG", grey_sixteen, np.repeat(GREY[:, :, None], 3, 2)),
    ("16-bit grey TIFF", lambda path: grey_sixteen(path.with_suffix(".tif")), np.repeat(GREY[:, :, None], 3, 2)),
    ("1-bit", lambda path: save(Image.fromarray(GREY > 99), path), np.repeat((GREY > 99)[:, :, None], 3, 2) * 255),
    ("alpha", half_transparent, black_left(COLOURS)),
    ("EXIF orientation", rotated, np.rot90(COLOURS, -1)),
]


@pytest.mark.parametrize(("make", "expected"), [row[1:] for row in READABLE], ids=[row[0] for row in READABLE])
def test_what_can_be_read(make: Callable[[Path], Path], expected: np.ndarray, tmp_path: Path) -> None:
    path = make(tmp_path / "é b.png")
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable
    np.testing.assert_array_equal(image, expected)
    assert image_size(path) == (image.shape[1], image.shape[0])


def test_a_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    image = read_image(transparent_palette(tmp_path / "p.png"))
    assert image[0, 0].tolist() == [0, 0, 0]
    assert image[5, 5].tolist() == [200, 100, 50]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    path = save(Image.fromarray(np.full((16, 16, 4), (0, 255, 255, 0), np.uint8), "CMYK"), tmp_path / "c.jpg")
    assert read_image(path)[8, 8].tolist() == pytest.approx([254, 0, 0], abs=3)


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(COLOURS).save(stream, "JPEG")
    return stream.getvalue()


def bomb() -> bytes:
    """A PNG of 30,000 × 30,000 pixels in a few bytes."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = b""
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunks


def float_tiff() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.float32)).save(stream, "TIFF")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"no picture at all", "not a picture"),
        (jpeg()[:-200], "damaged or truncated"),
        (encode_png(COLOURS)[:500], "damaged or truncated"),
        (bomb(), "too large to decode|more than the limit"),
        (float_tiff(), "floating-point"),
    ],
    ids=["zero-byte", "not an image", "truncated JPEG", "truncated PNG", "bomb", "float"],
)
def test_what_can_not_be_read(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png: can't be opened \(No such file"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="can't be opened"):
        read_image(tmp_path)


def test_the_limit_of_pixels_is_checked_before_decoding(tmp_path: Path) -> None:
    path = save(Image.fromarray(COLOURS), tmp_path / "a.png")
    with pytest.raises(ImageError, match="60×40 pixels, more than the limit of 2,000"):
        read_image(path, max_pixels=2000)


def test_mask_thresholds_grey_edges(tmp_path: Path) -> None:
    values = np.array([[0, 127, 128, 255]], np.uint8)
    path = save(Image.fromarray(values), tmp_path / "m.png")
    assert read_mask(path).tolist() == [[False, False, True, True]]


def test_png_round_trip(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", COLOURS)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), COLOURS)
    write_png(tmp_path / "m.png", GREY > 100)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), GREY > 100)


@pytest.mark.parametrize("array", [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4)), np.zeros((0, 4, 3), np.uint8)])
def test_only_pictures_can_be_encoded(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match="is no picture"):
        encode_png(array)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(StorageError, match=r"a\.png: can't be written"):
        write_bytes(tmp_path / "a.png", b"x")
    assert os.listdir(tmp_path) == ["a.png"]
    with pytest.raises(StorageError, match="No such file"):
        write_bytes(tmp_path / "none" / "a.png", b"x")


def test_pictures_of_a_folder_are_listed_in_order(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/z.png", "a/é.tif", ".hidden/x.png", ".y.png", "note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)] == ["a/z.png", "a/é.tif", "b.JPG"]
    with pytest.raises(ImageError, match="not a folder"):
        list_images(tmp_path / "none")


def test_channel_extremes_equal_numpy_s() -> None:
    np.testing.assert_array_equal(channel_max(COLOURS), COLOURS.max(axis=2))
    np.testing.assert_array_equal(channel_min(COLOURS), COLOURS.min(axis=2))
