"""Merging COCO data sets, real and synthetic, or the shards of one run, in constant memory."""

from __future__ import annotations

import hashlib
import os
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import ijson

from polyp_aug.coco.model import CocoAnnotation, CocoCategory, CocoImage, CocoLicense
from polyp_aug.coco.paths import resolve_image
from polyp_aug.coco.read import ANNOTATIONS_NAME, annotations_file, default_image_root
from polyp_aug.coco.validate import ImageEntry, Issues, checked_annotation, extra_keys, id_key
from polyp_aug.coco.write import IMAGE_KEYS, CocoWriter
from polyp_aug.errors import CocoError, ConfigurationError, ImageError, StorageError
from polyp_aug.images import write_bytes

ImageMode = Literal["copy", "hardlink", "none"]

# Present while a merge is under way; holds the digest of its inputs.
_MARKER_NAME = ".merge"


@dataclass(frozen=True)
class MergeInput:
    """A data set to merge.

    Attributes:
        path: a COCO file, or a folder with `annotations.json` in it.
        image_root: folder of the pictures; None as in `read_coco`.
    """

    path: Path
    image_root: Path | None = None

    @property
    def file(self) -> Path:
        """The COCO file."""
        return annotations_file(self.path)

    @property
    def root(self) -> Path:
        """The folder of the pictures."""
        return self.image_root if self.image_root is not None else default_image_root(self.file)


def merge_coco(inputs: Sequence[MergeInput], out: Path, *, images: ImageMode = "copy") -> Path:
    """Merge data sets into one folder: `annotations.json` and `images/`.

    1. Categories of the same name become one; those of the first input keep their ids, new ones are appended.
    2. Licences of the same name and URL become one; all are numbered from 1.
    3. Images, then annotations, are numbered from 1 in the order of the inputs. Extra keys are kept.
    4. A picture keeps its name; where an earlier one has it (letter case and Unicode form apart), its own goes into a
       subfolder with the number of its input, counted from 1.

    Records are streamed: only the ids, sizes and names of images are held in memory. The inputs must be sound; a flawed
    file goes through `read_coco(..., fix=True)` and `write_coco` first. Pictures are copied once all records are
    checked. An interrupted merge of the same inputs is taken up again.

    Args:
        inputs: the data sets.
        out: the folder to make; it must be empty or not exist.
        images: "copy" the pictures, make a "hardlink" to each, or take "none" along.

    Returns:
        The path of the COCO file.

    Raises:
        ConfigurationError: there is no input, `images` is unknown, or `out` holds something else.
        CocoError: an input breaks the format.
        ImageError: a picture is missing.
        StorageError: something can't be written.
    """
    if not inputs:
        raise ConfigurationError("nothing to merge: inputs is empty, expected at least one COCO file")
    if images not in get_args(ImageMode):
        raise ConfigurationError(f"images is {images!r}, expected one of {', '.join(get_args(ImageMode))}")
    digest = _digest(inputs, images)
    _check_folder(out, digest)
    categories = _Categories()
    licenses = _Licenses()
    for source in inputs:
        categories.add(source)
        licenses.add(source)
    info = {"description": f"{len(inputs)} merged data sets", "sources": [_info(source) for source in inputs]}
    with CocoWriter(out / ANNOTATIONS_NAME, categories.entries, licenses.entries, info) as writer:
        entries: list[dict[Any, ImageEntry]] = [{} for _ in inputs]
        for index, old_id, image, _ in _images(inputs, licenses.ids):
            if old_id in entries[index]:
                raise CocoError(f"{inputs[index].file}: image {old_id}: two records have this id")
            entries[index][old_id] = (image.id, image.width, image.height)
            writer.add_image(image)
        for annotation in _annotations(inputs, entries, categories.ids):
            writer.add_annotation(annotation)
        # Nothing is copied before every record is known to be sound.
        _mark(out, digest)
        if images != "none":
            for _, _, image, path in _images(inputs, licenses.ids):
                _place(path, out / "images" / image.file_name, images)
    (out / _MARKER_NAME).unlink()
    return out / ANNOTATIONS_NAME


class _Categories:
    """Categories by name."""

    def __init__(self) -> None:
        self.entries: list[CocoCategory] = []
        self.ids: list[dict[Any, int]] = []
        self._by_name: dict[str, int] = {}

    def add(self, source: MergeInput) -> None:
        ids: dict[Any, int] = {}
        for row in _items(source.file, "categories"):
            name, old = row.get("name"), row.get("id")
            if not isinstance(name, str) or not name or type(old) is not int or old < 1 or old in ids:
                raise CocoError(f"{source.file}: category {row}: expected a name and an id from 1 on of its own")
            if name not in self._by_name:
                new = old if not self.ids else max(self._by_name.values(), default=0) + 1
                self._by_name[name] = new
                self.entries.append(CocoCategory(new, name, str(row.get("supercategory") or "")))
            ids[old] = self._by_name[name]
        self.ids.append(ids)


class _Licenses:
    """Licences by name and URL."""

    def __init__(self) -> None:
        self.entries: list[CocoLicense] = []
        self.ids: list[dict[Any, int]] = []
        self._known: dict[tuple[str, str], int] = {}

    def add(self, source: MergeInput) -> None:
        ids: dict[Any, int] = {}
        for row in _items(source.file, "licenses"):
            name, url = str(row.get("name") or ""), str(row.get("url") or "")
            if (name, url) not in self._known:
                self._known[name, url] = len(self._known) + 1
                self.entries.append(CocoLicense(self._known[name, url], name, url))
            ids.setdefault(id_key(row.get("id")), self._known[name, url])
        self.ids.append(ids)


class _Names:
    """Names that are taken, as a file system sees them that ignores letter case and Unicode normal forms."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def claim(self, name: str, number: int) -> str:
        while (key := unicodedata.normalize("NFC", name).casefold()) in self._taken:
            name = f"{number}/{name}"
        self._taken.add(key)
        return name


def _images(
    inputs: Sequence[MergeInput], licenses: Sequence[dict[Any, int]]
) -> Iterator[tuple[int, int, CocoImage, Path]]:
    """Index of the input, id there, merged image, and path of the picture."""
    names = _Names()
    count = 0
    for index, source in enumerate(inputs):
        root, before = source.root, count
        for row in _items(source.file, "images"):
            path = _checked_path(row, root, source.file)
            count += 1
            image = CocoImage(
                id=count,
                file_name=names.claim(path.relative_to(root).as_posix(), index + 1),
                width=row["width"],
                height=row["height"],
                license=licenses[index].get(id_key(row.get("license"))),
                extra=extra_keys(row, IMAGE_KEYS),
            )
            yield index, row["id"], image, path
        if count == before:
            raise CocoError(f"{source.file}: no images, expected a COCO data set")


def _checked_path(row: dict[str, Any], root: Path, file: Path) -> Path:
    where = f"{file}: image {row.get('id')!r}"
    for name in ("id", "width", "height"):
        if type(row.get(name)) is not int or row[name] < 1:
            raise CocoError(f"{where}: {name} is {row.get(name)!r}, expected an integer from 1 on")
    if not isinstance(row.get("file_name"), str):
        raise CocoError(f"{where}: file_name is {row.get('file_name')!r}, expected a text")
    try:
        return resolve_image(root, row["file_name"])
    except CocoError as error:
        raise CocoError(f"{where}: {error}") from error


def _annotations(
    inputs: Sequence[MergeInput], images: Sequence[dict[Any, ImageEntry]], categories: Sequence[dict[Any, int]]
) -> Iterator[CocoAnnotation]:
    count = 0
    for index, source in enumerate(inputs):
        issues = Issues(source.file)
        for record in _items(source.file, "annotations"):
            count += 1
            annotation = checked_annotation(record, count, images[index], categories[index], issues)
            issues.raise_if_any()
            if annotation is not None:
                yield annotation


def _items(file: Path, section: str) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(_stream(file, f"{section}.item")):
        if not isinstance(row, dict):
            raise CocoError(f"{file}: entry {number} of {section!r} is a {type(row).__name__}, expected an object")
        yield row


def _info(source: MergeInput) -> dict[str, Any]:
    info: Any = next(_stream(source.file, "info"), None)
    return info if isinstance(info, dict) else {}


def _stream(file: Path, prefix: str) -> Iterator[Any]:
    try:
        with file.open("rb") as stream:
            yield from ijson.items(stream, prefix, use_float=True, buf_size=1 << 18)
    except OSError as error:
        raise CocoError(f"{file}: can't be read ({error.strerror or error})") from error
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise CocoError(f"{file}: not JSON ({error})") from error


def _digest(inputs: Sequence[MergeInput], images: str) -> str:
    digest = hashlib.sha256(images.encode())
    for source in inputs:
        digest.update(b"\0" + os.fsencode(source.root.absolute()) + b"\0")
        try:
            with source.file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise CocoError(f"{source.file}: can't be read ({error.strerror or error})") from error
    return digest.hexdigest()


def _check_folder(out: Path, digest: str) -> None:
    """Make sure that `out` is new, empty, or holds an interrupted merge of the same inputs."""
    marker = out / _MARKER_NAME
    try:
        out.mkdir(parents=True, exist_ok=True)
        content = sorted(entry.name for entry in out.iterdir())
        if content and not (marker.is_file() and marker.read_text(encoding="ascii") == digest):
            raise ConfigurationError(
                f"{out}: holds {', '.join(content[:3])}{', …' if len(content) > 3 else ''}; "
                "expected a new or empty folder, or an interrupted merge of the same inputs"
            )
        for leftover in out.glob(f".{ANNOTATIONS_NAME}.*.tmp"):
            leftover.unlink()
    except OSError as error:
        raise StorageError(error.errno, f"{out}: can't be written ({error.strerror or error})") from error


def _mark(out: Path, digest: str) -> None:
    write_bytes(out / _MARKER_NAME, digest.encode("ascii"))
    (out / "images").mkdir(exist_ok=True)


def _place(source: Path, target: Path, images: ImageMode) -> None:
    if not source.is_file():
        raise ImageError(f"{source}: no such picture")
    if target.exists():
        # An interrupted merge of the same inputs put it there, whole.
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if images == "hardlink":
            os.link(os.path.realpath(source), target)
        else:
            temporary = target.with_name(f".{target.name}.tmp")
            shutil.copyfile(source, temporary)
            os.replace(temporary, target)
    except OSError as error:
        raise StorageError(error.errno, f"{target}: can't be made from {source} ({error.strerror or error})") from error
