"""A reference database on disk.

::

    database.json                 format, encoder and conversion: what all entries have in common
    references.jsonl              a line for every frame: `Reference`, or `Refusal` where nothing could be removed
    features/00000.safetensors    global: float32 (frames, channels); local: float16 (patches, channels), those of the
                                  polyps' masks; cells: int32 (patches, 2), their row and column
    images/<digest>.png           frames without their polyps, lossless

An entry counts once its line ends with a line feed; its features and its picture are on disk before that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyp_aug.database.identity import INFO_NAME, REFERENCES_NAME
from polyp_aug.database.reference import Reference, Refusal
from polyp_aug.encoders.patches import PatchEncoder
from polyp_aug.errors import DatabaseError, ImageError
from polyp_aug.images import ImageArray, read_image
from polyp_aug.jsonl import read_lines
from polyp_aug.optional import require
from polyp_aug.scene import Source

FEATURES_NAME = "features"
IMAGES_NAME = "images"

#: Changes when databases of before can't be read any more.
FORMAT = 1

#: Splits of which references are served without being asked for by name.
TRAINING_SPLITS = frozenset({"", "train"})


@dataclass(frozen=True)
class DatabaseInfo:
    """What all entries of a database have in common.

    Attributes:
        encoder: name of the encoder.
        weights: what `load_encoder` loads it by; "" where that was a folder.
        side: see `load_encoder`.
        revision: of its weights and settings.
        channels: of its features.
        conversion: how polyps were removed, in JSON types.
        format: see `FORMAT`.
    """

    encoder: str
    weights: str
    side: int
    revision: str
    channels: int
    conversion: Mapping[str, Any] = field(hash=False)
    format: int = FORMAT

    @classmethod
    def of(cls, encoder: PatchEncoder, conversion: Mapping[str, Any]) -> DatabaseInfo:
        """What entries have in common that this encoder makes."""
        return cls(encoder.name, encoder.weights, encoder.side, encoder.revision, encoder.channels, conversion)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def read_info(path: Path) -> DatabaseInfo:
    """What `database.json` says.

    Raises:
        DatabaseError: the folder is no database, or one of another format.
    """
    file = path / INFO_NAME
    if not file.is_file():
        raise DatabaseError(f"{path}: no reference database (it has no {INFO_NAME}); `polyp-aug index build` makes one")
    try:
        found = json.loads(file.read_bytes())
        if found["format"] != FORMAT:
            raise DatabaseError(f"{file}: format {found['format']!r}, expected {FORMAT}: build it anew")
        return DatabaseInfo(
            encoder=str(found["encoder"]),
            weights=str(found["weights"]),
            side=int(found["side"]),
            revision=str(found["revision"]),
            channels=int(found["channels"]),
            conversion=dict(found["conversion"]),
        )
    except OSError as error:
        raise DatabaseError(f"{file}: can't be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DatabaseError):
            raise
        raise DatabaseError(f"{file}: damaged ({error!r})") from error


def read_entries(path: Path, *, mend: bool = False) -> Iterator[Reference | Refusal]:
    """The entries of a database, in their order.

    Args:
        path: folder of the database.
        mend: cut off an incomplete last line.

    Raises:
        DatabaseError: a complete line is no entry, or the file can't be read.
    """
    file = path / REFERENCES_NAME
    try:
        for number, line in read_lines(file, mend=mend):
            try:
                record = json.loads(line)
                yield Refusal.from_dict(record) if "refused" in record else Reference.from_dict(record)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DatabaseError(f"{file}: line {number} is damaged ({error!r})") from error
    except OSError as error:
        raise DatabaseError(f"{file}: can't be read ({error.strerror or error})") from error


def shard_path(path: Path, number: int) -> Path:
    """The file of features of this number."""
    return path / FEATURES_NAME / f"{number:05d}.safetensors"


def image_path(path: Path, frame: str) -> Path:
    """The picture of this name."""
    return path / IMAGES_NAME / f"{frame}.png"


def digest_entry(
    reference: Reference,
    pooled: npt.NDArray[np.float32],
    local: npt.NDArray[np.float16],
    cells: npt.NDArray[np.int32],
    picture: bytes,
) -> str:
    """16 digits of a SHA-256 over an entry (its own `digest` apart), its features, and the bytes of its picture."""
    record = reference.to_dict() | {"digest": ""}
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    for part in (pooled, local, cells):
        digest.update(f"{part.dtype} {part.shape}".encode() + np.ascontiguousarray(part).tobytes())
    digest.update(hashlib.sha256(picture).digest())
    return digest.hexdigest()[:16]


class ReferenceDatabase:
    """A reference database, opened to be read. Global features are in memory, local ones are read when needed.

    References of evaluation splits are left out unless they are asked for by name, and so is every reference whose
    patient or sequence (`group`) has a frame in one, or whose frame stands in one a second time: what is painted by
    them must not carry an evaluation set into training. No file is held open: it can be pickled.

    Args:
        path: folder of the database.
        splits: names of the splits to serve, all others count as evaluation splits; "" stands for references without a
            split. By default "train" and "".

    Attributes:
        path: folder of the database.
        info: what its entries have in common.
        references: those that are served.
        withheld: number of the others.

    Raises:
        DatabaseError: it is no database, is damaged, or holds no reference that may be served.
    """

    def __init__(self, path: Path, *, splits: Sequence[str] | None = None) -> None:
        self.path = path
        self.info = read_info(path)
        entries = list(read_entries(path))
        found = [entry for entry in entries if isinstance(entry, Reference)]
        if not found:
            raise DatabaseError(f"{path}: holds no references")
        served = TRAINING_SPLITS if splits is None else frozenset(splits)
        evaluation = [entry for entry in entries if entry.source.split not in served]
        groups = {_group(entry.source) for entry in evaluation if entry.source.group}
        originals = {entry.original for entry in evaluation}
        self.references: tuple[Reference, ...] = tuple(
            item
            for item in found
            if item.source.split in served and _group(item.source) not in groups and item.original not in originals
        )
        self.withheld = len(found) - len(self.references)
        if not self.references:
            names = ", ".join(sorted({item.source.split or "none" for item in found}))
            raise DatabaseError(
                f"{path}: all {len(found)} references belong to evaluation splits (they are of {names}; served are "
                f"{', '.join(sorted(name or 'none' for name in served))})"
            )

    def __len__(self) -> int:
        return len(self.references)

    def check_encoder(self, encoder: PatchEncoder) -> None:
        """Refuse an encoder that the database was not made with.

        Raises:
            DatabaseError: name or revision differ; both are named.
        """
        if (encoder.name, encoder.revision) != (self.info.encoder, self.info.revision):
            raise DatabaseError(
                f"{self.path}: made with the encoder {self.info.encoder}, revision {self.info.revision} "
                f"(got {encoder.name}, {encoder.revision})"
            )

    @cached_property
    def pooled(self) -> npt.NDArray[np.float32]:
        """Global features of all references, float32 (references, channels).

        Raises:
            DatabaseError: a file of features is damaged or missing.
        """
        found = np.empty((len(self), self.info.channels), np.float32)
        by_shard: dict[int, list[int]] = {}
        for index, item in enumerate(self.references):
            by_shard.setdefault(item.shard, []).append(index)
        for shard, members in by_shard.items():
            (values,) = self._read(shard, {"global": slice(None)})
            rows = [self.references[index].row for index in members]
            if values.shape[1:] != (self.info.channels,) or max(rows) >= len(values):
                raise DatabaseError(f"{shard_path(self.path, shard)}: damaged (global features of {values.shape})")
            found[members] = values[rows]
        return found

    def local(self, index: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Local features of a reference, float32 (patches, channels), and their row and column, int32 (patches, 2).

        Raises:
            DatabaseError: the file of features is damaged or missing.
        """
        item = self.references[index]
        part = slice(*item.patches)
        local, cells = self._read(item.shard, {"local": part, "cells": part})
        number = part.stop - part.start
        if local.shape != (number, self.info.channels) or cells.shape != (number, 2):
            raise DatabaseError(f"{shard_path(self.path, item.shard)}: damaged (local features of {local.shape})")
        return local.astype(np.float32), cells

    def image(self, index: int) -> ImageArray:
        """The frame without its polyps, uint8 RGB.

        Raises:
            DatabaseError: it can't be read.
        """
        file = image_path(self.path, self.references[index].frame)
        try:
            return read_image(file)
        except ImageError as error:
            raise DatabaseError(str(error)) from error

    def verify(self) -> list[str]:
        """What is wrong with the references that are served, one line each; reads everything."""
        problems = []
        for item in self.references:
            part = slice(*item.patches)
            parts = {"global": slice(item.row, item.row + 1), "local": part, "cells": part}
            try:
                pooled, local, cells = self._read(item.shard, parts)
                picture = image_path(self.path, item.frame).read_bytes()
                if digest_entry(item, pooled, local, cells, picture) != item.digest:
                    problems.append(f"{item.source.file}: entry, features or picture are not those that were stored")
            except OSError as error:
                problems.append(f"{item.source.file}: {error.filename}: {error.strerror or error}")
            except DatabaseError as error:
                problems.append(f"{item.source.file}: {error}")
        return problems

    def _read(self, shard: int, parts: Mapping[str, slice]) -> list[npt.NDArray[Any]]:
        """Rows of tensors of a file, which is opened for it: thousands of files can't be kept open."""
        safetensors = require("safetensors", "retrieval")
        file = shard_path(self.path, shard)
        try:
            with safetensors.safe_open(file, framework="np") as opened:
                return [np.asarray(opened.get_slice(name)[part]) for name, part in parts.items()]
        except (OSError, safetensors.SafetensorError, ValueError) as error:
            raise DatabaseError(f"{file}: damaged or missing ({error})") from error


def _group(source: Source) -> tuple[str, str]:
    return source.dataset, source.group
