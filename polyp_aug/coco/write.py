"""Writing COCO files: the same data set gives the same bytes."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from polyp_aug.coco.model import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, CocoLicense
from polyp_aug.errors import CocoError, StorageError

#: Keys of the format; whatever else a record holds is kept as `extra`.
IMAGE_KEYS = ("id", "file_name", "width", "height", "license")
ANNOTATION_KEYS = ("id", "image_id", "category_id", "bbox", "area", "segmentation", "iscrowd")


def image_record(image: CocoImage) -> dict[str, Any]:
    """The JSON object of an image: the keys of the format, then the extra ones in alphabetical order.

    Raises:
        CocoError: the id is below 1, or an extra key is one of the format's.
    """
    record: dict[str, Any] = {
        "id": image.id,
        "file_name": image.file_name,
        "width": image.width,
        "height": image.height,
    }
    if image.license is not None:
        record["license"] = image.license
    return _with_extra(record, image.extra, IMAGE_KEYS, f"image {image.id}")


def annotation_record(annotation: CocoAnnotation) -> dict[str, Any]:
    """The JSON object of an annotation: the keys of the format, then the extra ones in alphabetical order.

    An annotation without a mask gets an empty list as `segmentation`, which readers expect to be there.

    Raises:
        CocoError: the id is below 1 (evaluators take 0 for "not matched"), or an extra key is one of the format's.
    """
    record = {
        "id": annotation.id,
        "image_id": annotation.image_id,
        "category_id": annotation.category_id,
        "bbox": list(annotation.bbox),
        "area": annotation.area,
        "segmentation": [] if annotation.segmentation is None else annotation.segmentation,
        "iscrowd": annotation.iscrowd,
    }
    return _with_extra(record, annotation.extra, ANNOTATION_KEYS, f"annotation {annotation.id}")


def write_coco(dataset: CocoDataset, path: str | os.PathLike[str]) -> None:
    """Write a data set as one COCO file, atomically; its folder must exist. Pictures are not copied.

    Raises:
        CocoError: a record can't be written (see `CocoWriter`).
        StorageError: the file can't be written; nothing is left behind.
    """
    with CocoWriter(path, dataset.categories, dataset.licenses, dataset.info) as writer:
        for image in dataset.images:
            writer.add_image(image)
        for annotation in dataset.annotations:
            writer.add_annotation(annotation)


class CocoWriter:
    """A COCO file that is written record by record, in constant memory: first all images, then all annotations.

    A context manager. The file appears when the block ends, and not at all when it ends with an error. Every record has
    a line of its own. Text is written in ASCII, NumPy values as plain JSON.

    Args:
        path: the file to make; its folder must exist.
        categories: in the order they are written in.
        licenses: in the order they are written in.
        info: the file's `info` object.

    Raises:
        CocoError: an id is below 1, a value is not finite or no JSON, or an image comes after an annotation.
        StorageError: the file can't be written; nothing is left behind.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        categories: Iterable[CocoCategory],
        licenses: Iterable[CocoLicense] = (),
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self._path = Path(path)
        self._head: dict[str, list[dict[str, Any]] | dict[str, Any]] = {
            "info": dict(sorted((info or {}).items())),
            "licenses": [{"id": entry.id, "name": entry.name, "url": entry.url} for entry in licenses],
            "categories": [
                {"id": entry.id, "name": entry.name, "supercategory": entry.supercategory} for entry in categories
            ],
        }
        self._section = "images"
        self._separator = "\n"

    def __enter__(self) -> Self:
        try:
            handle, temporary = tempfile.mkstemp(prefix=f".{self._path.name}.", suffix=".tmp", dir=self._path.parent)
        except OSError as error:
            raise self._storage_error(error) from error
        self._temporary = Path(temporary)
        self._stream = os.fdopen(handle, "w", encoding="ascii", newline="\n", buffering=1 << 16)
        try:
            head = ",\n".join(f'"{name}": {_json(value, name)}' for name, value in self._head.items())
            self._write("{\n" + head + ',\n"images": [')
        except (CocoError, StorageError):
            self._discard()
            raise
        return self

    def add_image(self, image: CocoImage) -> None:
        """Write an image."""
        if self._section != "images":
            raise CocoError(f"{self._path}: image {image.id} comes after the first annotation; add all images first")
        self._add(_json(image_record(image), f"image {image.id}"))

    def add_annotation(self, annotation: CocoAnnotation) -> None:
        """Write an annotation."""
        record = _json(annotation_record(annotation), f"annotation {annotation.id}")
        self._open_annotations()
        self._add(record)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._open_annotations()
            self._write("\n]\n}\n")
            self._stream.close()
            os.chmod(self._temporary, 0o644)
            os.replace(self._temporary, self._path)
        except OSError as failure:
            self._discard()
            raise self._storage_error(failure) from failure

    def _open_annotations(self) -> None:
        if self._section == "images":
            self._write('\n],\n"annotations": [')
            self._section, self._separator = "annotations", "\n"

    def _add(self, record: str) -> None:
        self._write(self._separator + record)
        self._separator = ",\n"

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except OSError as error:
            raise self._storage_error(error) from error

    def _discard(self) -> None:
        # On a full disk the rest of the buffer can't be written; it is thrown away with the file.
        with contextlib.suppress(OSError):
            self._stream.close()
        self._temporary.unlink(missing_ok=True)

    def _storage_error(self, error: OSError) -> StorageError:
        if isinstance(error, StorageError):
            return error
        return StorageError(error.errno, f"{self._path}: can't be written ({error.strerror or error})")


def _with_extra(record: dict[str, Any], extra: Mapping[str, Any], own: tuple[str, ...], name: str) -> dict[str, Any]:
    if record["id"] < 1:
        raise CocoError(f"{name}: ids must be 1 or more")
    clash = sorted(set(extra) & set(own))
    if clash:
        raise CocoError(f"{name}: extra keys {clash} belong to the format")
    return record | {key: extra[key] for key in sorted(extra)}


def _json(value: Any, name: str) -> str:
    try:
        return json.dumps(value, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CocoError(f"{name}: can't be written as JSON ({error})") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        plain = value.item()
        if isinstance(plain, float) and math.isfinite(plain):
            # The shortest text that is this number in its own precision: 0.1, not 0.10000000149011612.
            return float(str(value))
        return plain
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, bytes):
        return value.decode("ascii")
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} {value!r} is no JSON value")
