"""What a detector of ultralytics finds in pictures, by its program."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from polyp_aug.errors import ProgramError, StorageError
from polyp_aug.evaluation.recall import Detections
from polyp_aug.images import image_size, read_image
from polyp_aug.integrations.yolo.folder import make_folder
from polyp_aug.integrations.yolo.options import read_options
from polyp_aug.integrations.yolo.program import find_program, run_program
from polyp_aug.integrations.yolo.training import LOG_NAME

_PICTURES, _FOUND = "pictures", "found"

#: Boxes with lower scores are left out, as in ultralytics' own measuring.
_LOWEST_SCORE = 0.001


def detect_yolo(
    checkpoint: Path,
    images: Sequence[Path],
    work_dir: Path,
    *,
    command: str = "yolo",
    options: Sequence[str] = (),
    device: str = "cpu",
) -> list[Detections]:
    """Detect objects in pictures; the classes are not told apart.

    The program is given a folder of links with numbers for names, since it names what it finds after the pictures, and
    pictures of several folders may share a name. The links and what it wrote are removed afterwards.

    Args:
        checkpoint: of ultralytics.
        images: files, in any form that `read_image` takes.
        work_dir: folder to work in, and for the log.
        command: the program; its path or its name.
        options: the training's, of which the pictures' size (`imgsz`) is used here too.
        device: of torch.

    Returns:
        For each picture the boxes with a score of 0.001 or more, in its own pixels.

    Raises:
        ConfigurationError: an option can't be given.
        ImageError: a picture can't be read.
        MissingDependencyError: the program is not there.
        ProgramError: it ended with an error, or what it wrote can't be read.
        StorageError: a file can't be written.
    """
    program, chosen = find_program(command), read_options(options)
    pictures, found = work_dir.resolve() / _PICTURES, work_dir.resolve() / _FOUND
    for folder in (pictures, found):
        shutil.rmtree(folder, ignore_errors=True)
    make_folder(pictures)
    for number, path in enumerate(images):
        _link(path, pictures / f"{_name(number)}{path.suffix.lower()}")
    settings = {"model": checkpoint, "source": pictures, "device": device, "conf": _LOWEST_SCORE}
    settings |= {"save_txt": True, "save_conf": True, "save": False, "verbose": False}
    settings |= {"project": found.parent, "name": found.name, "exist_ok": True}
    settings |= {key: chosen[key] for key in ("imgsz",) if key in chosen}
    run_program(
        [program, "detect", "predict", *(f"{key}={value}" for key, value in settings.items())], work_dir / LOG_NAME
    )
    labels = found / "labels"
    detections = [_detections(path, labels / f"{_name(number)}.txt") for number, path in enumerate(images)]
    for folder in (pictures, found):
        shutil.rmtree(folder, ignore_errors=True)
    return detections


def read_detections(file: Path, width: int, height: int) -> Detections:
    """What stands in a file of the program: a line `class cx cy w h score` for each box.

    Args:
        file: the file.
        width: of the picture, in pixels.
        height: of the picture, in pixels.

    Returns:
        Boxes in pixels, in the file's order.

    Raises:
        ProgramError: the file can't be read, or a line has another form; the message has its number.
    """
    rows = []
    try:
        for number, line in enumerate(file.read_text("ascii").splitlines(), start=1):
            row = [float(word) for word in line.split()]
            if len(row) != 6 or not np.isfinite(row).all():
                raise ValueError(f"line {number} is {line!r}, expected 'class cx cy w h score'")
            rows.append(row)
    except (OSError, ValueError) as error:
        raise ProgramError(f"{file}: can't be read as detections ({error})") from error
    values = np.array(rows, dtype=np.float64).reshape(-1, 6)
    sizes = values[:, 3:5] * (width, height)
    return Detections(np.hstack((values[:, 1:3] * (width, height) - sizes / 2, sizes)), values[:, 5])


def _detections(picture: Path, file: Path) -> Detections:
    if file.exists():
        return read_detections(file, *image_size(picture))
    # Nothing was found; or the program skipped a picture that it couldn't read.
    read_image(picture)
    return Detections(np.empty((0, 4)), np.empty(0))


def _name(number: int) -> str:
    return f"{number:06d}"


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source.resolve())
    except OSError as error:
        raise StorageError(error.errno, f"{target}: can't be made ({error.strerror or error})") from error
