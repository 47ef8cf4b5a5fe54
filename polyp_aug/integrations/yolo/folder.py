"""The folder of an export on disk: whose it is, and that an interrupted export goes on.

::

    images/<split>/<name>    the pictures
    labels/<split>/<name>    their label files
    data.yaml                what a trainer is given; written last
    .export                  digest of what is exported
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal, get_args

from polyp_aug.errors import ConfigurationError, ImageError, StorageError
from polyp_aug.images import write_bytes

DATA_NAME = "data.yaml"

ImageMode = Literal["copy", "hardlink"]

_MARKER_NAME = ".export"
_FOLDERS = ("labels", "images")


def check_mode(images: str) -> None:
    """Raise `ConfigurationError` where this is no `ImageMode`."""
    if images not in get_args(ImageMode):
        raise ConfigurationError(f"images is {images!r}, expected one of {', '.join(get_args(ImageMode))}")


def claim_folder(out: Path, digest: str, *, replace: bool) -> None:
    """Take a folder that is new or empty, or that holds an export of the same, whole or not.

    Args:
        out: the folder; it is made where it doesn't exist.
        digest: of what is to be exported.
        replace: take the folder of another export too, and remove what that wrote.

    Raises:
        ConfigurationError: the folder holds something else.
        StorageError: it can't be written to.
    """
    marker = out / _MARKER_NAME
    try:
        out.mkdir(parents=True, exist_ok=True)
        leftovers = [*out.glob(f".{_MARKER_NAME}.*.tmp"), *out.glob(f".{DATA_NAME}.*.tmp")]
        content = sorted(entry.name for entry in out.iterdir() if entry not in leftovers)
        same = marker.is_file() and marker.read_bytes() == digest.encode("ascii")
        if content and not same:
            if not (replace and marker.is_file()):
                raise ConfigurationError(
                    f"{out}: holds {', '.join(content[:3])}{', …' if len(content) > 3 else ''}; "
                    "expected a new or empty folder, or an export of the same sets with the same options"
                )
            _remove_export(out)
        for leftover in (*leftovers, *(path for name in _FOLDERS for path in (out / name).rglob(".*.tmp"))):
            leftover.unlink()
    except OSError as error:
        raise _storage_error(out, error) from error
    write_bytes(marker, digest.encode("ascii"))


def place_picture(source: Path, target: Path, images: ImageMode) -> None:
    """Copy or link a picture; one that is there was put there whole by an interrupted export of the same.

    Raises:
        ImageError: the picture can't be read.
        StorageError: it can't be written.
    """
    if target.exists():
        return
    make_folder(target.parent)
    if images == "copy":
        try:
            data = source.read_bytes()
        except OSError as error:
            raise ImageError(f"{source}: can't be read ({error.strerror or error})") from error
        write_bytes(target, data)
        return
    try:
        os.link(os.path.realpath(source), target)
    except OSError as error:
        raise StorageError(
            error.errno, f"{target}: can't be linked to {source} ({error.strerror or error}); copy the pictures instead"
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they don't exist.

    Raises:
        StorageError: it can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _storage_error(folder, error) from error


def _remove_export(out: Path) -> None:
    # In this order a folder that is left half removed is no whole export.
    (out / DATA_NAME).unlink(missing_ok=True)
    for name in _FOLDERS:
        if (out / name).exists():
            shutil.rmtree(out / name)


def _storage_error(path: Path, error: OSError) -> StorageError:
    return StorageError(error.errno, f"{path}: can't be written ({error.strerror or error})")
