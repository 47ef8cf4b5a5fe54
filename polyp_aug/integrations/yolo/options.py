"""Settings of ultralytics that a user may give, and those that follow from what is compared."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from polyp_aug.errors import ConfigurationError

#: Pictures in a batch, where the options don't say.
BATCH_SIZE = 16

_OPTION = re.compile(r"([a-z][a-z0-9_]*)=(.*)", re.DOTALL)

#: What a training's length, data and folder depend on.
_LENGTH = ("epochs", "fraction", "patience", "resume", "time")
_PLACE = ("cfg", "data", "device", "exist_ok", "mode", "model", "name", "project", "save", "save_dir", "seed", "task")


def read_options(options: Sequence[str]) -> dict[str, str]:
    """Settings by name.

    Args:
        options: as `key=value`, as the program takes them.

    Raises:
        ConfigurationError: one has another form, is given twice, is not to be given here, or `batch` is no number of
            pictures.
    """
    chosen: dict[str, str] = {}
    for option in options:
        found = _OPTION.fullmatch(option)
        if found is None:
            raise ConfigurationError(f"option {option!r}, expected 'key=value' of ultralytics")
        key, value = found.groups()
        if key in _LENGTH or key in _PLACE:
            raise ConfigurationError(f"option {option!r}: {key!r} can't be given, it follows from the other settings")
        if key in chosen:
            raise ConfigurationError(f"option {option!r}: {key!r} is given twice")
        chosen[key] = value
    batch = chosen.get("batch", "1")
    if not (batch.isascii() and batch.isdecimal() and int(batch) > 0):
        raise ConfigurationError(f"option 'batch={batch}', expected a whole number of pictures, at least 1")
    return chosen


def epochs_for(iterations: int, pictures: int, batch_size: int) -> int:
    """The smallest number of epochs with at least so many iterations; an epoch's last batch may be smaller."""
    return math.ceil(iterations / math.ceil(pictures / batch_size))
