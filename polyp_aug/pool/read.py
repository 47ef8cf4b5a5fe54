"""Reading a pool, while somebody may be changing it."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.errors import ConfigurationError, ImageError, RunFolderDamagedError
from polyp_aug.images import ImageArray
from polyp_aug.pool.variant import TOLERANCE, PoolVariant, cells_of, fingerprint

INDEX_NAME = "pool.jsonl"

#: Every so many pixels of a frame tell it from the others of a data set; about so many frames are remembered.
_OFFSET, _STRIDE = 11, 31
_RECOGNISED = 20_000


class Pool:
    """The variants of a pool by the frame that they belong to.

    The index is read again when its file was replaced, so that variants which a refresher adds are drawn, and retired
    ones are not. It holds plain data and may be pickled, or inherited by a forked process.

    Args:
        path: the pool's folder.
        cache_bytes: how much memory the pictures read last may take.

    Raises:
        ConfigurationError: the folder is no pool.
        RunFolderDamagedError: the index can't be read.
    """

    def __init__(self, path: Path, *, cache_bytes: int = 64_000_000) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._by_name: dict[str, tuple[PoolVariant, ...]] = {}
        self._frames: list[str] = []
        self._cells: npt.NDArray[np.int16] = np.empty((0, 0), np.int16)
        self._size = 0
        self._recognised: dict[bytes, list[str]] = {}
        self._pictures: OrderedDict[str, ImageArray] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._cached = 0
        self.reload()

    def __len__(self) -> int:
        return self._size

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pictures": OrderedDict(), "_cached": 0, "_recognised": {}}

    def reload(self) -> bool:
        """Read the index where it changed since the last time.

        Returns:
            Whether it had changed.

        Raises:
            ConfigurationError: there is none.
            RunFolderDamagedError: it can't be read.
        """
        file = self.path / INDEX_NAME
        try:
            state = file.stat()
        except OSError:
            raise ConfigurationError(f"{self.path}: no pool (it holds no {INDEX_NAME})") from None
        stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
        if stamp == self._stamp:
            return False
        variants = read_index(file)
        by_name: dict[str, list[PoolVariant]] = {}
        for variant in variants:
            by_name.setdefault(_name(variant.source.file), []).append(variant)
        self._by_name = {name: tuple(found) for name, found in by_name.items()}
        frames = {item.frame_fingerprint: _name(item.source.file) for item in variants}
        self._frames = list(frames.values())
        self._cells = np.array([cells_of(text) for text in frames])
        self._size, self._stamp, self._recognised = len(variants), stamp, {}
        return True

    def variants_of(self, file: str, frame: ImageArray) -> Sequence[PoolVariant]:
        """The variants of a frame, in the index's order.

        Args:
            file: name of the frame's file; folders before it may differ from those in the pool. "": not known, the
                frame is looked up by what it shows.
            frame: uint8 RGB (H, W, 3), as it is before it is changed.
        """
        return [item for item in self.candidates_of(file, frame) if item.fits(frame)]

    def candidates_of(self, file: str, frame: ImageArray) -> Sequence[PoolVariant]:
        """As `variants_of`, before each is asked whether it `fits`, which costs more than to find them."""
        names = [_name(file)] if file else self._names_of(frame)
        return [item for name in names for item in self._by_name.get(name, ())]

    def knows(self, file: str) -> bool:
        """Whether there is a variant of a frame with this file name."""
        return _name(file) in self._by_name

    def _names_of(self, frame: ImageArray) -> list[str]:
        """Names of the frames that look like this one in 8×8 cells."""
        if not self._frames:
            return []
        # A frame comes again in every epoch; a few of its pixels tell it. Whether a variant fits is asked of it anew.
        sample = repr(frame.shape).encode() + frame[_OFFSET::_STRIDE, _OFFSET::_STRIDE].tobytes()
        known = self._recognised.get(sample)
        if known is None:
            near = np.abs(self._cells - cells_of(fingerprint(frame))).max(axis=1) <= TOLERANCE
            known = list(dict.fromkeys(self._frames[index] for index in np.flatnonzero(near)))
            if len(self._recognised) >= _RECOGNISED:
                self._recognised.clear()
            self._recognised[sample] = known
        return known

    def picture(self, variant: PoolVariant) -> ImageArray:
        """The changed part, uint8 RGB (h, w, 3) of the variant's box.

        Raises:
            ImageError: it can't be read, or has another size than the box; a retired variant's picture is gone.
        """
        found = self._pictures.get(variant.id)
        if found is not None:
            self._pictures.move_to_end(variant.id)
            return found
        path = self.path / variant.picture
        found = _read(path)
        if (found.shape[1], found.shape[0]) != variant.box[2:]:
            raise ImageError(f"{path}: {found.shape[1]}×{found.shape[0]} pixels, the index says {variant.box[2:]}")
        self._pictures[variant.id] = found
        self._cached += found.nbytes
        while self._cached > self._cache_bytes and len(self._pictures) > 1:
            self._cached -= self._pictures.popitem(last=False)[1].nbytes
        return found


def _read(path: Path) -> ImageArray:
    """A picture that `PoolWriter` wrote, by OpenCV, which is several times as fast as `read_image`.

    Raises:
        ImageError: it can't be read.
    """
    try:
        data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        found = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if len(data) else None
    except (OSError, cv2.error) as error:
        raise ImageError(f"{path}: can't be read ({error})") from error
    if found is None:
        raise ImageError(f"{path}: can't be read as a picture")
    return np.asarray(found, dtype=np.uint8)


def read_index(file: Path) -> list[PoolVariant]:
    """The variants of an index.

    Raises:
        RunFolderDamagedError: it can't be read.
    """
    try:
        return [PoolVariant.from_dict(json.loads(line)) for line in file.read_bytes().splitlines()]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunFolderDamagedError(f"{file}: can't be read as a pool's index ({error})") from error


def _name(file: str) -> str:
    return file.replace("\\", "/").rpartition("/")[2]
