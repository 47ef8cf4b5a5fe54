"""Training a detector of ultralytics on COCO sets, by its program."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from polyp_aug.errors import ProgramError
from polyp_aug.images import write_bytes
from polyp_aug.integrations.yolo.export import export_yolo
from polyp_aug.integrations.yolo.folder import make_folder
from polyp_aug.integrations.yolo.options import BATCH_SIZE, epochs_for, read_options
from polyp_aug.integrations.yolo.program import find_program, run_program

#: What the program prints, in a training's folder.
LOG_NAME = "yolo.txt"

_DATA, _WORK, _TRAINED = "data", "ultralytics", ".trained"

#: In what ultralytics prints when it is told to go on with a training that is whole.
_WHOLE = "nothing to resume"


def train_yolo(
    data: Sequence[Path],
    validation: Path,
    work_dir: Path,
    *,
    model: str,
    iterations: int,
    command: str = "yolo",
    options: Sequence[str] = (),
    amp: bool = False,
    seed: int = 0,
    device: str = "cpu",
) -> Path:
    """Train a detector; one that was interrupted goes on after its last whole epoch.

    1. The sets are exported: pictures are copied, since ultralytics repairs damaged ones in place.
    2. It trains for whole epochs, the smallest number that gives at least `iterations`, and never stops early.
    3. What ultralytics counts in epochs would differ between sets of other sizes: the warm-up takes a tenth of the
       training, and its mosaics stay on to the end, unless the options say otherwise.

    A training that went on is not, bit for bit, the one that was never interrupted.

    Args:
        data: COCO sets to train on, joined; frames without polyps are used as well.
        validation: COCO set to measure on.
        work_dir: folder for the exported sets, ultralytics' own folder, and the log.
        model: a model's configuration, which is trained from scratch (`yolov8n.yaml`), or weights (`yolov8n.pt`).
        iterations: batches that the detector sees at least.
        command: the program; its path or its name.
        options: changes of ultralytics' settings as `key=value`.
        amp: mixed precision, which ultralytics has on an accelerator only.
        seed: of the order of frames, the transforms and the first weights.
        device: of torch.

    Returns:
        The last checkpoint.

    Raises:
        CocoError: a COCO file breaks the format.
        ConfigurationError: an option can't be given.
        ImageError: a picture is missing.
        MissingDependencyError: the program is not there.
        ProgramError: it ended with an error.
        StorageError: a file can't be written.
    """
    program, chosen = find_program(command), read_options(options)
    work = work_dir.resolve() / _WORK
    last = work / "weights" / "last.pt"
    if (work / _TRAINED).exists() and last.exists():
        return last
    make_folder(work_dir)
    exported = export_yolo({"train": data, "val": [validation]}, work_dir / _DATA)
    begin = [program, "detect", "train", f"data={exported.file.resolve()}", f"device={device}"]
    # A checkpoint that was only half written has no table of contents, which stands at a zip file's end.
    if zipfile.is_zipfile(last):
        # Given resume=True, it would begin another training where this one is whole.
        _go_on([*begin, f"resume={last}", f"model={last}", f"save_dir={work}"], work_dir / LOG_NAME)
    else:
        shutil.rmtree(work, ignore_errors=True)
        batch_size = int(chosen.get("batch", BATCH_SIZE))
        epochs = epochs_for(iterations, exported.images["train"], batch_size)
        fixed: dict[str, object] = {"model": model, "epochs": epochs, "seed": seed, "patience": 0, "exist_ok": True}
        default: dict[str, object] = {"batch": batch_size, "workers": 0, "plots": False, "val": False, "amp": amp}
        default |= {"warmup_epochs": f"{epochs / 10:g}", "close_mosaic": 0}
        settings = default | chosen | fixed | {"project": work_dir.resolve(), "name": _WORK}
        run_program([*begin, *(f"{key}={value}" for key, value in settings.items())], work_dir / LOG_NAME)
    if not last.exists():
        raise ProgramError(f"{program} left no {last}; see {work_dir / LOG_NAME}")
    write_bytes(work / _TRAINED, b"")
    return last


def remove_training_data(work_dir: Path) -> None:
    """Remove a training's checkpoints and exported sets; its log, settings and losses stay."""
    for folder in (work_dir / _WORK / "weights", work_dir / _DATA):
        shutil.rmtree(folder, ignore_errors=True)


def _go_on(command: Sequence[str], log: Path) -> None:
    """Resume a training; one that was killed after its last epoch is whole as it is."""
    try:
        run_program(command, log)
    except ProgramError as error:
        if _WHOLE not in str(error):
            raise ProgramError(f"{error}\nTo begin this training anew, remove {log.parent}.") from error
