"""Label files of YOLO: a line for each object, in shares of the frame's width and height."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polyp_aug.datasets.base import Shape
from polyp_aug.errors import DatasetLayoutError

#: An edge may stand out of the frame by this share of its side, and is cut: as far as three decimals round it.
EDGE_TOLERANCE = 1e-3

_LINES = "'class cx cy w h' or 'class x1 y1 x2 y2 x3 y3 …'"
_SHOWN = 60


def label_file(root: Path, image: Path) -> Path:
    """Where the objects of a picture stand: the last folder `images` on its way becomes `labels`, the ending `.txt`.

    Args:
        root: folder of the data set; only what is below it is renamed.
        image: a picture below `root`.
    """
    folders = list(image.relative_to(root).parts[:-1])
    if "images" in folders:
        folders[len(folders) - 1 - folders[::-1].index("images")] = "labels"
    return root.joinpath(*folders, f"{image.stem}.txt")


def read_labels(path: Path, categories: int) -> tuple[Shape, ...]:
    """The objects of one frame; none where there is no such file.

    A line is a box, `class cx cy w h` with its centre, or an outline of three points or more, `class x1 y1 x2 y2 …`.

    Args:
        path: the label file.
        categories: how many there are; classes count from 0.

    Returns:
        The objects in the order of their lines, cut at the frame's border.

    Raises:
        DatasetLayoutError: a line is malformed, or a number is out of range by more than `EDGE_TOLERANCE`; the message
            has the file, the line's number and the value.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetLayoutError(f"{path}: can't be read ({error})") from error
    return tuple(
        _shape(line.split(), categories, f"{path}, line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    )


def _shape(words: list[str], categories: int, where: str) -> Shape:
    text = " ".join(words)
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    try:
        number, *shares = (float(word) for word in words)
    except ValueError:
        raise DatasetLayoutError(f"{where}: {shown!r}, expected numbers, {_LINES}") from None
    if len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
        raise DatasetLayoutError(f"{where}: {shown!r} has {len(words)} numbers, expected {_LINES}")
    if not (number.is_integer() and 0 <= number < categories):
        raise DatasetLayoutError(f"{where}: class {words[0]!r}, expected an integer from 0 to {categories - 1}")
    names = ("cx", "cy", "w", "h") if len(shares) == 4 else ("x", "y") * (len(shares) // 2)
    for name, share, word in zip(names, shares, words[1:], strict=True):
        if not _is_share(share):
            raise DatasetLayoutError(f"{where}: {name} is {word!r}, expected a share from 0 to 1")
    if len(shares) > 4:
        polygon = tuple(map(_cut, shares))
        return Shape(int(number), _enclosing(polygon), polygon)
    return Shape(int(number), _edges(shares, shown, where))


def _edges(shares: Sequence[float], shown: str, where: str) -> tuple[float, float, float, float]:
    cx, cy, w, h = shares
    edges = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
    if not all(map(_is_share, edges)):
        reach = ", ".join(f"{edge:g}" for edge in edges)
        raise DatasetLayoutError(f"{where}: box {shown!r} has the edges {reach}, expected shares from 0 to 1")
    left, top, right, bottom = map(_cut, edges)
    if right <= left or bottom <= top:
        raise DatasetLayoutError(f"{where}: box {shown!r} has no area, expected a positive width and height")
    return left, top, right, bottom


def _enclosing(polygon: Sequence[float]) -> tuple[float, float, float, float]:
    return min(polygon[::2]), min(polygon[1::2]), max(polygon[::2]), max(polygon[1::2])


def _is_share(value: float) -> bool:
    return -EDGE_TOLERANCE <= value <= 1 + EDGE_TOLERANCE


def _cut(value: float) -> float:
    return min(max(value, 0.0), 1.0)
