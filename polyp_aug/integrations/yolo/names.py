"""Names of pictures in a YOLO folder: no two share a label file."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

from polyp_aug.errors import CocoError
from polyp_aug.images import IMAGE_SUFFIXES


class PictureNames:
    """Names that are taken in one split, as a file system sees them that ignores letter case and Unicode forms."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def claim(self, file_name: str, number: int) -> str:
        """The name of a picture in `images/<split>`: its own, below a folder with the set's number where it is taken.

        Trainers put the label of `a.png` as well as of `a.jpg` into `a.txt`, and find it by replacing the last folder
        `images` of the path: such a folder in a name becomes `images_`.

        Args:
            file_name: relative, POSIX form.
            number: of its set, from 1.

        Raises:
            CocoError: trainers would not see the picture: another ending, or a hidden file or folder.
        """
        path = PurePosixPath(file_name)
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise CocoError(f"file_name {file_name!r}, expected one of the endings {', '.join(IMAGE_SUFFIXES)}")
        if any(part.startswith(".") for part in path.parts):
            raise CocoError(f"file_name {file_name!r} is hidden, expected no part that begins with a dot")
        folders = ("images_" if part == "images" else part for part in path.parts[:-1])
        name = PurePosixPath(*folders, path.name)
        while (key := _key(name)) in self._taken:
            name = str(number) / name
        self._taken.add(key)
        return name.as_posix()


def _key(name: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", name.with_suffix("").as_posix()).casefold()
