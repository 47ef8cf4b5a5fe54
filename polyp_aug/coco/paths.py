"""Where the pictures of a COCO file are, safely: a file name from outside never leads out of its folder."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

from polyp_aug.errors import CocoError


def resolve_image(root: Path, file_name: str) -> Path:
    """The path of a picture, whether or not it exists.

    A name that is not on disk as it is spelled is looked for in the Unicode normal forms NFC and NFD, part by part.

    Args:
        root: the folder that names are relative to.
        file_name: relative, with "/" between its parts.

    Returns:
        A path below `root`.

    Raises:
        CocoError: the name is empty, absolute, holds "..", a backslash or a null character, or a symbolic link leads
            out of `root`.
    """
    relative = relative_name(file_name)
    if not relative.isascii() and not os.path.lexists(root / relative):
        relative = _in_any_normal_form(root, relative)
    path = root / relative
    if _passes_link(root, relative) and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise CocoError(f"file_name {file_name!r} is a link that leads out of the image folder")
    return path


def relative_name(file_name: str) -> str:
    """A safe file name in its shortest POSIX form: "a/b.png" for "./a//b.png".

    Raises:
        CocoError: as `resolve_image`, links apart.
    """
    problem = _name_problem(file_name)
    if problem:
        raise CocoError(f"file_name {file_name!r} {problem}, expected a relative path with '/' between its parts")
    return PurePosixPath(file_name).as_posix()


def _name_problem(file_name: str) -> str | None:
    posix, windows = PurePosixPath(file_name), PureWindowsPath(file_name)
    if not posix.parts:
        return "names no file"
    if posix.is_absolute() or windows.drive or windows.root:
        return "is absolute"
    if ".." in windows.parts:
        return "holds '..'"
    if "\\" in file_name:
        return "holds a backslash"
    if "\0" in file_name:
        return "holds a null character"
    return None


def _in_any_normal_form(root: Path, relative: str) -> str:
    found = PurePosixPath()
    for part in PurePosixPath(relative).parts:
        forms = (part, unicodedata.normalize("NFC", part), unicodedata.normalize("NFD", part))
        found /= next((form for form in forms if os.path.lexists(root / found / form)), part)
    return found.as_posix()


def _passes_link(root: Path, relative: str) -> bool:
    path = str(root)
    for part in relative.split("/"):
        path = f"{path}/{part}"
        if os.path.islink(path):
            return True
    return False
