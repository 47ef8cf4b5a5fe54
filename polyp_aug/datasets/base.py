"""What a published data set is to the package: a layout that lists its frames one at a time, with nothing decoded."""

from __future__ import annotations

import csv
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from polyp_aug.errors import DatasetLayoutError
from polyp_aug.images import list_images

FrameKind = Literal["polyp", "normal"]

#: (x_min, y_min, x_max, y_max) in pixels; width is x_max - x_min.
BoxXYXY = tuple[float, float, float, float]

#: File name endings that are read as videos, in lower case.
VIDEO_SUFFIXES = (".avi", ".mkv", ".mov", ".mp4", ".mpg")


class Licence(NamedTuple):
    """Name of a licence, as its publisher writes it, and where its text stands ("" where unknown)."""

    name: str
    url: str = ""


CC_BY_4 = Licence("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/")


@dataclass(frozen=True)
class Shape:
    """An object, in shares of its frame's width and height, so that the frame needn't be opened.

    Attributes:
        category: position of its category in `Layout.categories`.
        box_xyxy: (x_min, y_min, x_max, y_max), from 0 to 1.
        polygon: outline x, y, x, y, …, from 0 to 1; empty where only the box is known.
    """

    category: int
    box_xyxy: tuple[float, float, float, float]
    polygon: tuple[float, ...] = ()


@dataclass(frozen=True)
class Frame:
    """One published picture, or one published video without polyps, and what is said about it.

    Attributes:
        image: the source file.
        name: name in the output, relative, POSIX form, unique within the data set.
        kind: "polyp" or "normal" (no polyp in it), None where only the mask tells.
        mask: mask picture, non-zero on the polyps.
        boxes_xyxy: boxes of the polyps where there is no mask.
        shapes: objects of several categories, in place of a mask or boxes.
        split: published split, "" where there is none.
        group: patient, video or sequence; "" stands for the picture's stem.
        dataset: name of the data set where it isn't the layout's title.
        licence: licence where it isn't the layout's.
        problem: why the layout can't vouch for this frame, "" where it can.
        extra: further facts for the COCO image record.
    """

    image: Path
    name: str
    kind: FrameKind | None
    mask: Path | None = None
    boxes_xyxy: tuple[BoxXYXY, ...] | None = None
    shapes: tuple[Shape, ...] | None = None
    split: str = ""
    group: str = ""
    dataset: str = ""
    licence: Licence | None = None
    problem: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_video(self) -> bool:
        """Whether the source file is a video."""
        return self.image.suffix.lower() in VIDEO_SUFFIXES


class Layout(ABC):
    """The folder layout in which a data set is published.

    Attributes:
        name: name on the command line.
        title: the data set's own name.
        licence: of the pictures.
        homepage: where it is published.
        expected: the folder tree, shown in error messages.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    licence: ClassVar[Licence]
    homepage: ClassVar[str]
    expected: ClassVar[str]

    @abstractmethod
    def frames(self, root: Path) -> Iterator[Frame]:
        """The frames below `root`, in an order that depends on their names alone.

        Raises:
            DatasetLayoutError: `root` doesn't hold this layout.
        """

    def categories(self, root: Path) -> tuple[str, ...]:  # noqa: ARG002 (other layouts read them there)
        """Names of the categories; the first gets the COCO id 1.

        Raises:
            DatasetLayoutError: `root` doesn't hold this layout.
        """
        return ("polyp",)

    def error(self, root: Path, problem: str) -> DatasetLayoutError:
        """The error for a folder that isn't laid out as published: the problem, and what was expected."""
        return DatasetLayoutError(f"{root}: {problem}. Expected layout of {self.title}:\n{self.expected}")

    def rows(self, root: Path, path: Path, required: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
        """Line number and cells of each row of a CSV file; missing cells are "".

        Raises:
            DatasetLayoutError: the file can't be read, or lacks a required column.
        """
        try:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                reader = csv.DictReader(stream, restkey="", restval="")
                missing = [column for column in required if column not in (reader.fieldnames or ())]
                if missing:
                    raise self.error(root, f"{path.name} has no column {', '.join(missing)}")
                return [(reader.line_num, {name: cell.strip() for name, cell in row.items() if name}) for row in reader]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise self.error(root, f"{path.name} can't be read ({error})") from error


def find_folders(root: Path, relative: str) -> list[Path]:
    """Folders `relative` in `root` or up to two levels below it, where archives unpack to; the nearest first."""
    found = [[path for path in root.glob(prefix + relative) if path.is_dir()] for prefix in ("", "*/", "*/*/")]
    return [path for level in found for path in sorted(level, key=lambda path: natural_key(path.as_posix()))]


def pictures(folder: Path) -> list[Path]:
    """All pictures below a folder, in the natural order of their relative names: 2 before 10."""
    return sorted(list_images(folder), key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def pairs(images: Path, masks: Path, key: Callable[[str], str] = str) -> Iterator[tuple[Path, Path | None]]:
    """Each picture of a folder with the mask whose `key(stem)` is the same, or None."""
    index = {key(path.stem): path for path in pictures(masks)}
    for image in pictures(images):
        yield image, index.get(key(image.stem))


def natural_key(name: str) -> tuple[tuple[tuple[float, str], ...], str]:
    """A sorting key that takes runs of ASCII digits as numbers, which come before other text."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple((int(part), "") if part[0] in "0123456789" else (math.inf, part) for part in parts), name
