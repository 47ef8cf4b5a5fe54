"""Checking the records of a COCO file, and what is done about each flaw."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from polyp_aug.coco.masks import decode_segmentation, encode_region, segmentation_area, segmentation_problem
from polyp_aug.coco.model import CocoAnnotation
from polyp_aug.coco.write import ANNOTATION_KEYS
from polyp_aug.errors import CocoError
from polyp_aug.geometry import Box, Region

#: A box may stand out of its image by this many pixels: files often hold coordinates rounded to two decimals.
BOX_TOLERANCE = 0.02

#: (id, width, height) of an image, or None where its record is broken and was reported.
ImageEntry = tuple[int, int, int] | None

_SHOWN = 10


class Issues:
    """The flaws of one file, each a sentence with the file's name and the record's id.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[tuple[str, str | None]] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, where: str, problem: str, remedy: str | None = None) -> None:
        """Note a flaw of the record `where`, and what mends it; None where nothing can."""
        self._found.append((f"{self._path.name}: {where}: {problem}", remedy))

    def raise_if_any(self) -> None:
        """Raise one error for all flaws, mended or not."""
        self._raise([text for text, _ in self._found], sum(remedy is not None for _, remedy in self._found))

    def raise_if_unmendable(self) -> None:
        """Raise one error for the flaws without a remedy."""
        self._raise([text for text, remedy in self._found if remedy is None], 0)

    def mended(self) -> tuple[str, ...]:
        """The flaws with their remedies."""
        return tuple(f"{text}; {remedy}" for text, remedy in self._found if remedy is not None)

    def _raise(self, texts: list[str], mendable: int) -> None:
        if not texts:
            return
        count = "1 problem" if len(texts) == 1 else f"{len(texts)} problems"
        head = f"{self._path}: {count}" + (f", of which fix=True mends {mendable}" if mendable else "")
        shown = texts[:_SHOWN] + ([f"and {len(texts) - _SHOWN} more"] if len(texts) > _SHOWN else [])
        raise CocoError("\n  ".join([head, *shown]))


def id_key(raw: Any) -> Any:
    """A dictionary key for an id as the file spells it, or None where it can't be one; true is not 1."""
    if isinstance(raw, bool):
        return (raw,)
    return raw if isinstance(raw, (int, float, str)) else None


def assign_ids(
    records: Iterable[dict[str, Any]], kind: str, referenced: frozenset[Any], issues: Issues
) -> tuple[list[tuple[int, dict[str, Any]]], dict[Any, int]]:
    """Give every record a valid id of its own.

    Valid ids are kept. Ids that are missing, no integers or below 1 are replaced by new ones above the highest. Of
    identical records with the same id the first stays; others with the same id are renumbered, which can't be done
    where the id is `referenced`: nobody knows which record is meant.

    Returns:
        The records with their ids, and a dictionary from `id_key` of the file's ids to the new ones.
    """
    rows = list(records)
    highest = max((row["id"] for row in rows if _is_valid_id(row.get("id"))), default=0)
    first: dict[Any, dict[str, Any]] = {}
    ids: dict[Any, int] = {}
    kept: list[tuple[int, dict[str, Any]]] = []
    for row in rows:
        raw = row.get("id")
        key = id_key(raw)
        if key is not None and key in first:
            if row == first[key]:
                issues.add(f"{kind} {raw!r}", "occurs twice, word for word", "the second is dropped")
                continue
            if key in referenced:
                issues.add(f"{kind} {raw!r}", "two different records have this id, and others refer to it")
                continue
            highest += 1
            issues.add(f"{kind} {raw!r}", "two different records have this id", f"the second becomes {highest}")
            kept.append((highest, row))
            continue
        if _is_valid_id(raw):
            new = int(row["id"])
        else:
            highest += 1
            new = highest
            problem = f"id is {raw!r}, expected an integer from 1 on" if "id" in row else "has no id"
            issues.add(f"{kind} {raw!r}", problem, f"becomes {new}")
        if key is not None:
            first[key] = row
            ids[key] = new
        kept.append((new, row))
    return kept, ids


def checked_annotation(
    record: dict[str, Any],
    annotation_id: int,
    images: Mapping[Any, ImageEntry],
    categories: Mapping[Any, int],
    issues: Issues,
) -> CocoAnnotation | None:
    """The annotation of a JSON record, mended where it can be; every flaw is added to `issues`.

    Args:
        record: the JSON object.
        annotation_id: the id that the annotation gets.
        images: `id_key` of the file's image ids → the image.
        categories: `id_key` of the file's category ids → the category's new id.
        issues: where flaws are noted.

    Returns:
        The annotation, or None where it is dropped.
    """
    where = f"annotation {record.get('id')!r}"
    image_key, category_key = id_key(record.get("image_id")), id_key(record.get("category_id"))
    if image_key not in images or category_key not in categories:
        for name, key, known in (("image", image_key, images), ("category", category_key, categories)):
            if f"{name}_id" not in record:
                issues.add(where, f"has no {name}_id", "dropped")
            elif key not in known:
                issues.add(where, f"{name}_id {record[f'{name}_id']!r} is not the id of any {name}", "dropped")
        return None
    image = images[image_key]
    if image is None:
        return None
    for name in ("image_id", "category_id"):
        if isinstance(record[name], float):
            issues.add(where, f"{name} is {record[name]!r}, expected an integer", "taken as one")
    image_id, width, height = image
    segmentation, mended = _checked_segmentation(record.get("segmentation"), width, height, where, issues)
    box = _checked_box(record, segmentation, width, height, where, issues)
    if box is None:
        return None
    if list(box) != record.get("bbox"):
        mended = True
        segmentation = _cut(segmentation, width, height)
    return CocoAnnotation(
        id=annotation_id,
        image_id=image_id,
        category_id=categories[category_key],
        bbox=box,
        area=_checked_area(record, box, segmentation, mended, (width, height), where, issues),
        segmentation=segmentation,
        iscrowd=_checked_crowd(record, where, issues),
        extra=extra_keys(record, ANNOTATION_KEYS),
    )


def extra_keys(record: Mapping[str, Any], own: tuple[str, ...]) -> dict[str, Any]:
    """What a record holds besides the keys of the format."""
    return {key: value for key, value in record.items() if key not in own}


def drop_not_finite(record: dict[str, Any], own: tuple[str, ...], where: str, issues: Issues) -> None:
    """Take out extra keys that hold NaN or infinite numbers, which are no JSON."""
    for key in [key for key in record if key not in own]:
        try:
            json.dumps(record[key], allow_nan=False)
        except ValueError:
            del record[key]
            issues.add(where, f"{key!r} holds a number that is not finite", "the key is dropped")


def _is_valid_id(raw: Any) -> bool:
    return type(raw) is int and raw >= 1


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _checked_segmentation(raw: Any, width: int, height: int, where: str, issues: Issues) -> tuple[Any, bool]:
    if raw is None or raw == []:
        return None, False
    problem = segmentation_problem(raw, width, height)
    if problem is None:
        return raw, False
    sound = []
    if isinstance(raw, list):
        sound = [polygon for polygon in raw if segmentation_problem([polygon], width, height) is None]
    issues.add(where, f"segmentation {problem}", "the polygon is dropped" if sound else "the segmentation is dropped")
    return sound or None, True


def _checked_box(
    record: dict[str, Any], segmentation: Any, width: int, height: int, where: str, issues: Issues
) -> Box | None:
    raw = record.get("bbox")
    if not isinstance(raw, list) or len(raw) != 4 or not all(_is_number(value) for value in raw):
        problem = f"bbox is {raw!r}, expected four numbers x, y, width, height" if "bbox" in record else "has no bbox"
        region = Region.from_mask(decode_segmentation(segmentation, width, height)) if segmentation else None
        issues.add(where, problem, "taken from the mask" if region else "dropped")
        return region.box if region else None
    x, y, w, h = raw
    if not all(map(math.isfinite, raw)):
        issues.add(where, f"bbox {raw} is not finite", "dropped")
        return None
    if w <= 0 or h <= 0:
        issues.add(where, f"bbox {raw} has no area, expected a positive width and height", "dropped")
        return None
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if right <= left or bottom <= top:
        issues.add(where, f"bbox {raw} is outside of the image of {width}×{height}", "dropped")
        return None
    if min(x, y, width - x - w, height - y - h) >= -BOX_TOLERANCE:
        return x, y, w, h
    issues.add(where, f"bbox {raw} is partly outside of the image of {width}×{height}", "cut at the image's border")
    return left, top, right - left, bottom - top


def _cut(segmentation: Any, width: int, height: int) -> Any:
    if not isinstance(segmentation, list):
        return segmentation
    region = Region.from_mask(decode_segmentation(segmentation, width, height))
    return encode_region(region, width, height) if region else None


def _checked_area(
    record: dict[str, Any],
    box: Box,
    segmentation: Any,
    mended: bool,
    size: tuple[int, int],
    where: str,
    issues: Issues,
) -> float:
    raw = record.get("area")
    if _is_number(raw) and 0 < raw < math.inf:
        if not mended:
            return raw
    else:
        problem = f"area is {raw!r}, expected a positive number" if "area" in record else "has no area"
        issues.add(where, problem, "computed")
    return (segmentation_area(segmentation, *size) if segmentation else 0) or box[2] * box[3]


def _checked_crowd(record: dict[str, Any], where: str, issues: Issues) -> int:
    crowd = record.get("iscrowd")
    if type(crowd) is int and crowd in (0, 1):
        return crowd
    problem = f"iscrowd is {crowd!r}, expected 0 or 1" if "iscrowd" in record else "has no iscrowd"
    # true and 1.0 mean 1; whatever else there is counts as an ordinary object.
    crowd = 1 if crowd == 1 else 0
    issues.add(where, problem, f"set to {crowd}")
    return crowd
