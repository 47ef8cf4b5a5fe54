"""Features on disk by what was looked at and by which network: each is computed once, and a kill costs one file.

::

    EfficientNet-Lite0-0123456789abcdef/    a network and the digest of its weights and settings
        6f….npz                             up to 64 rows: their keys, and the features, float32

Files appear whole or not at all and are never changed, so several processes can use a folder at once.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.features import Features
from polyp_aug.evaluation.report import make_folder
from polyp_aug.images import write_bytes

#: Rows of a file.
ROWS = 64


class FeatureCache:
    """A folder of features.

    Args:
        folder: it is made when something is stored.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def rows(
        self,
        network: str,
        keys: Sequence[str],
        compute: Callable[[Sequence[int]], Features],
        observer: Callable[[int], None] | None = None,
    ) -> Features:
        """Features of items, from disk where they are there, else computed and stored.

        They are rounded to float32 in either case, so that both ways give the same.

        Args:
            network: what computes them, with its revision.
            keys: of the items; equal keys have equal features.
            compute: features, float (K, D), of items with these numbers.
            observer: called with how many items are done, when some more are.

        Returns:
            float64 (N, D).

        Raises:
            ConfigurationError: a file of the folder can't be read.
            StorageError: a file can't be written.
        """
        folder = self._folder / _file_name(network)
        known = self._known(folder)
        first = {key: number for number, key in reversed(list(enumerate(keys)))}
        missing = sorted(number for key, number in first.items() if key not in known)
        done = len(keys) - len(missing)
        for start in range(0, len(missing), ROWS):
            if observer is not None:
                observer(done + start)
            numbers = missing[start : start + ROWS]
            values = np.asarray(compute(numbers), dtype=np.float32)
            written = [keys[number] for number in numbers]
            file = folder / f"{hashlib.sha256(' '.join(written).encode()).hexdigest()[:32]}.npz"
            _write(file, {"keys": np.array(written, dtype=np.str_), "features": values})
            known |= {key: (file, row) for row, key in enumerate(written)}
        if observer is not None:
            observer(len(keys))
        return _gathered(keys, known)

    def array(self, network: str, key: str, compute: Callable[[], Features]) -> Features:
        """One array, from disk where it is there, else computed and stored; float64, rounded to float32.

        Args:
            network: what computes it, with its revision.
            key: of what it belongs to.
            compute: makes it.

        Raises:
            ConfigurationError: the file can't be read.
            StorageError: the file can't be written.
        """
        file = self._folder / _file_name(network) / f"{key}.npz"
        if not file.exists():
            _write(file, {"values": np.asarray(compute(), dtype=np.float32)})
        return np.asarray(_read(file, "values"), dtype=np.float64)

    @staticmethod
    def _known(folder: Path) -> dict[str, tuple[Path, int]]:
        known: dict[str, tuple[Path, int]] = {}
        for file in sorted(folder.glob("*.npz")):
            known |= {str(key): (file, row) for row, key in enumerate(_read(file, "keys"))}
        return known


def _gathered(keys: Sequence[str], known: dict[str, tuple[Path, int]]) -> Features:
    places: dict[Path, list[tuple[int, int]]] = {}
    for number, key in enumerate(keys):
        file, row = known[key]
        places.setdefault(file, []).append((number, row))
    found: Features | None = None
    for file, rows in places.items():
        values = _read(file, "features")
        if found is None:
            found = np.empty((len(keys), values.shape[1]))
        numbers, taken = zip(*rows, strict=True)
        found[list(numbers)] = values[list(taken)]
    assert found is not None, "there is at least one key"
    return found


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)


def _write(file: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    make_folder(file.parent)
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    write_bytes(file, stream.getvalue())


def _read(file: Path, name: str) -> npt.NDArray[Any]:
    try:
        with open(file, "rb") as stream, np.load(stream) as arrays:
            return np.asarray(arrays[name])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{file}: can't be read as features ({error}); remove it") from error
