"""Reading COCO files: everything that is wrong with a file is told at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyp_aug.coco.model import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, CocoLicense
from polyp_aug.coco.paths import resolve_image
from polyp_aug.coco.validate import (
    ImageEntry,
    Issues,
    assign_ids,
    checked_annotation,
    drop_not_finite,
    extra_keys,
    id_key,
)
from polyp_aug.coco.write import ANNOTATION_KEYS, IMAGE_KEYS
from polyp_aug.errors import CocoError, ImageError
from polyp_aug.images import image_size

#: Name of the COCO file in a folder that holds a data set.
ANNOTATIONS_NAME = "annotations.json"


def read_coco(path: str | os.PathLike[str], *, image_root: Path | None = None, fix: bool = False) -> CocoDataset:
    """Read and check a COCO file.

    ===========================================  ==================================================================
    flaw                                         with `fix`
    ===========================================  ==================================================================
    ids that are doubled, below 1, no integers   renumbered; an error where a doubled id is referred to
    identical records with one id                one is kept
    one picture in two image records             its annotations are joined under the first
    width or height missing or no positive int   read from the picture's header
    unknown image or category                    the annotation is dropped
    box partly outside of the image              box and polygons cut at the border, area computed
    box outside, not finite, or without area     the annotation is dropped
    box missing                                  taken from the mask; dropped where there is none
    area or iscrowd missing or wrong             area of the mask, or of the box where there is none; 0
    malformed polygon, RLE of another size       dropped, the box stays
    NaN or infinity under a key of one's own     the key is dropped
    unsafe file name, no JSON, key missing       error: never mended
    ===========================================  ==================================================================

    An image's licence that the file doesn't list is no flaw: it is read as None. Pictures need not exist.

    Args:
        path: a COCO file, or a folder with `annotations.json` in it.
        image_root: folder of the pictures; by default the folder `images` beside the file if there is one, else the
            file's folder.
        fix: mend what can be mended and list it in the result's `problems`.

    Returns:
        The data set. File names are those found on disk where only the Unicode normal form differs.

    Raises:
        CocoError: the file breaks the format; the message lists the first problems and counts them all.
    """
    file = annotations_file(path)
    root = image_root if image_root is not None else default_image_root(file)
    issues = Issues(file)
    document, has_nan = _document(file)
    records = {name: _section(document, name, issues) for name in ("images", "annotations", "categories")}
    info = document.get("info")
    info = dict(info) if isinstance(info, dict) else {}
    if has_nan:
        drop_not_finite(info, (), "info", issues)
        for row in records["images"]:
            drop_not_finite(row, IMAGE_KEYS, f"image {row.get('id')!r}", issues)
        for row in records["annotations"]:
            drop_not_finite(row, ANNOTATION_KEYS, f"annotation {row.get('id')!r}", issues)

    licenses = _licenses(document)
    categories, category_ids = _categories(records, issues)
    images, entries = _images(records, root, frozenset(entry.id for entry in licenses), issues)
    annotations = _annotations(records["annotations"], entries, category_ids, issues)
    if fix:
        issues.raise_if_unmendable()
    else:
        issues.raise_if_any()
    return CocoDataset(root, images, annotations, categories, licenses, info, issues.mended())


def annotations_file(path: str | os.PathLike[str]) -> Path:
    """The COCO file that `path` names: itself, or `annotations.json` in the folder that it is."""
    return Path(path) / ANNOTATIONS_NAME if Path(path).is_dir() else Path(path)


def default_image_root(file: Path) -> Path:
    """The folder `images` beside a COCO file where there is one, else the file's folder."""
    images = file.parent / "images"
    return images if images.is_dir() else file.parent


@dataclass
class _Constants:
    """Whether the file spells NaN or Infinity, which Python reads though they are no JSON."""

    found: bool = False

    def __call__(self, text: str) -> float:
        self.found = True
        return float(text)


def _document(file: Path) -> tuple[dict[str, Any], bool]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CocoError(f"{file}: can't be read ({error.strerror or error})") from error
    if not data.strip():
        raise CocoError(f"{file}: empty file, expected a COCO data set")
    constants = _Constants()
    try:
        document = json.loads(data, parse_constant=constants)
    except (ValueError, RecursionError) as error:
        raise CocoError(f"{file}: not JSON ({error})") from error
    if not isinstance(document, dict):
        raise CocoError(f"{file}: the top level is a {type(document).__name__}, expected an object with 'images'")
    return document, constants.found


def _section(document: Mapping[str, Any], name: str, issues: Issues) -> list[dict[str, Any]]:
    rows = document.get(name)
    if not isinstance(rows, list):
        problem = f"is a {type(rows).__name__}, expected a list" if name in document else "is missing"
        issues.add(f"key {name!r}", problem)
        return []
    sound = []
    for number, row in enumerate(rows):
        if isinstance(row, dict):
            sound.append(row)
        else:
            issues.add(f"entry {number} of {name!r}", f"is a {type(row).__name__}, expected an object", "dropped")
    return sound


def _licenses(document: Mapping[str, Any]) -> tuple[CocoLicense, ...]:
    rows = document.get("licenses")
    found: dict[int, CocoLicense] = {}
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and type(row.get("id")) is int:
            entry = CocoLicense(row["id"], str(row.get("name") or ""), str(row.get("url") or ""))
            found.setdefault(entry.id, entry)
    return tuple(found.values())


def _categories(
    records: Mapping[str, list[dict[str, Any]]], issues: Issues
) -> tuple[tuple[CocoCategory, ...], dict[Any, int]]:
    referenced = frozenset(id_key(row.get("category_id")) for row in records["annotations"])
    rows, ids = assign_ids(records["categories"], "category", referenced, issues)
    categories = []
    for category_id, row in rows:
        name = row.get("name")
        if not isinstance(name, str) or not name:
            issues.add(f"category {row.get('id')!r}", f"name is {name!r}, expected a text")
            continue
        categories.append(CocoCategory(category_id, name, str(row.get("supercategory") or "")))
    return tuple(categories), ids


def _images(
    records: Mapping[str, list[dict[str, Any]]], root: Path, licenses: frozenset[int], issues: Issues
) -> tuple[tuple[CocoImage, ...], dict[Any, ImageEntry]]:
    referenced = frozenset(id_key(row.get("image_id")) for row in records["annotations"])
    rows, ids = assign_ids(records["images"], "image", referenced, issues)
    images: dict[str, CocoImage] = {}
    by_id: dict[int, ImageEntry] = {}
    for image_id, row in rows:
        image = _image(row, image_id, root, licenses, issues)
        if image is None:
            by_id[image_id] = None
            continue
        first = images.setdefault(image.file_name, image)
        if first is not image:
            problem = f"file_name {image.file_name!r} is also the one of image {first.id}"
            same = (first.width, first.height) == (image.width, image.height)
            issues.add(f"image {row.get('id')!r}", problem, f"joined to image {first.id}" if same else None)
        by_id[image_id] = (first.id, first.width, first.height)
    return tuple(images.values()), {key: by_id[image_id] for key, image_id in ids.items()}


def _image(
    row: dict[str, Any], image_id: int, root: Path, licenses: frozenset[int], issues: Issues
) -> CocoImage | None:
    where = f"image {row.get('id')!r}"
    name = row.get("file_name")
    if not isinstance(name, str):
        issues.add(where, f"file_name is {name!r}, expected a text" if "file_name" in row else "has no file_name")
        return None
    try:
        path = resolve_image(root, name)
    except CocoError as error:
        issues.add(where, str(error))
        return None
    size = _size(row, path, where, issues)
    if size is None:
        return None
    license_id = row.get("license")
    return CocoImage(
        id=image_id,
        file_name=path.relative_to(root).as_posix(),
        width=size[0],
        height=size[1],
        license=license_id if type(license_id) is int and license_id in licenses else None,
        extra=extra_keys(row, IMAGE_KEYS),
    )


def _size(row: dict[str, Any], path: Path, where: str, issues: Issues) -> tuple[int, int] | None:
    width, height = row.get("width"), row.get("height")
    if type(width) is int and type(height) is int and width > 0 and height > 0:
        return width, height
    problem = f"width and height are {width!r} and {height!r}, expected positive integers"
    try:
        size = image_size(path)
    except ImageError as error:
        issues.add(where, f"{problem}; the picture's own size can't be read ({error})")
        return None
    issues.add(where, problem, f"read from the picture: {size[0]} and {size[1]}")
    return size


def _annotations(
    records: list[dict[str, Any]], images: Mapping[Any, ImageEntry], categories: Mapping[Any, int], issues: Issues
) -> tuple[CocoAnnotation, ...]:
    rows, _ = assign_ids(records, "annotation", frozenset(), issues)
    checked = (checked_annotation(row, annotation_id, images, categories, issues) for annotation_id, row in rows)
    return tuple(annotation for annotation in checked if annotation is not None)
