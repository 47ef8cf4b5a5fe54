"""The record of a run as one HTML page that needs no network and opens from disk.

Template, style and script stand in `templates/` and are put into the page when it is written. A content security
policy allows that very style and script (by their hashes) and pictures beside the page, and nothing else. Everything
that comes from a record goes into the page as JSON in a data block; the script turns it into text nodes and attributes
only.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from polyp_aug.errors import ConfigurationError, RunFolderDamagedError
from polyp_aug.generation.facts import flatten, readable
from polyp_aug.generation.outlines import svg_path
from polyp_aug.generation.samples import PAINTED
from polyp_aug.generation.tally import frame_size, reference_of
from polyp_aug.images import write_bytes

#: Most skipped samples whose reasons are listed, and most reasons of one sample.
MAX_SKIPS = 500
MAX_REASONS = 8

#: Upper limits of the area of small and medium objects, in pixels, as COCO defines them; the rest are large.
SIZE_LIMITS = (32**2, 96**2)

_JSON_ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&"}
_URL_SAFE = "/-._~"


def write_gallery(
    records: Iterable[Mapping[str, Any]], out: Path, *, title: str, noun: str = "new polyp", limit: int = 2000
) -> None:
    """Write `index.html` into a run folder.

    The page depends on the arguments alone: the same records give the same bytes. Pictures are linked by relative path,
    `images/…` and `before/…`.

    Args:
        records: records of `manifest.jsonl`, consumed once; only those that are shown are kept in memory.
        out: the run folder; it must exist.
        title: heading of the page, plain text.
        noun: what was painted, in the singular.
        limit: most samples on the page; when there are more, the first ones are shown and the page says so.

    Raises:
        ConfigurationError: `limit` is less than 1.
        RunFolderDamagedError: a record lacks a field, or a field has a wrong type or value.
        StorageError: the page can't be written.
    """
    if limit < 1:
        raise ConfigurationError(f"limit of the gallery is {limit}, expected at least 1")
    tiles: list[dict[str, Any]] = []
    skips: list[dict[str, Any]] = []
    made = skipped = painted = 0
    for record in records:
        try:
            if record["status"] == "made":
                made += 1
                painted += sum(item["origin"] in PAINTED for item in record["objects"])
                if len(tiles) < limit:
                    tiles.append(_tile(record))
            elif record["status"] == "skipped":
                skipped += 1
                if len(skips) < MAX_SKIPS:
                    skips.append({"sample": int(record["sample"]), "reasons": _reasons(record["reasons"])})
            else:
                raise ValueError(f"status is {record['status']!r}, expected 'made' or 'skipped'")
        except KeyError as error:
            raise RunFolderDamagedError(f"sample {record.get('sample', '?')}: no field {error}") from error
        except (TypeError, ValueError) as error:
            raise RunFolderDamagedError(f"sample {record.get('sample', '?')}: {error}") from error
    data = {"noun": noun, "made": made, "skipped": skipped, "synthetic": painted, "tiles": tiles, "skips": skips}
    write_bytes(out / "index.html", _page(title, data).encode("utf-8", "xmlcharrefreplace"))


def _page(title: str, data: Mapping[str, Any]) -> str:
    folder = files("polyp_aug.generation") / "templates"
    template, style, script = (
        (folder / name).read_text(encoding="utf-8") for name in ("gallery.html", "gallery.css", "gallery.js")
    )
    values = {
        "title": html.escape(title),
        "noun": html.escape(str(data["noun"])),
        "style_hash": _csp_hash(style),
        "script_hash": _csp_hash(script),
        "style": style,
        "script": script,
        "data": json.dumps(data, allow_nan=False, separators=(",", ":")).translate(_JSON_ESCAPES),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def _csp_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _tile(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the page needs of a sample that was made."""
    width, height = frame_size(record)
    background, before = record["background"], record["before"]
    return {
        "sample": int(record["sample"]),
        "width": width,
        "height": height,
        "after": _url("images", record["file_name"]),
        "before": _url("before", before["file_name"]),
        "box": _box(before["box"]),
        "file": readable(background["file"]),
        "group": readable(background.get("group", "")),
        "facts": flatten({**background, "key": record.get("key")}),
        "objects": [_object(item, width, height) for item in record["objects"]],
        "rejections": _reasons(record.get("rejections", [])),
    }


def _object(item: Mapping[str, Any], width: int, height: int) -> dict[str, Any]:
    if item["origin"] not in ("source", *PAINTED):
        raise ValueError(f"origin is {item['origin']!r}, expected 'source', 'synthetic' or 'removed'")
    area = _number(item["area"])
    shown = {
        "synthetic": item["origin"] in PAINTED,
        "category": readable(item["category"]),
        "box": _box(item["bbox"]),
        "area": area,
        "size": sum(area >= bound for bound in SIZE_LIMITS),
        "path": svg_path(item.get("segmentation"), width, height),
    }
    if shown["synthetic"]:
        provenance = item["provenance"]
        shown["proposer"] = readable(provenance["proposer"])
        shown["synthesizer"] = readable(provenance["synthesizer"])
        shown["reference"] = readable(reference_of(provenance))
        shown["facts"] = flatten(provenance)
    return shown


def _reasons(reasons: list[str]) -> list[str]:
    shown = [readable(reason) for reason in reasons[:MAX_REASONS]]
    more = len(reasons) - len(shown)
    return [*shown, f"… and {more} more"] if more else shown


def _url(folder: str, file_name: str) -> str:
    """A path relative to the page, percent-encoded; bytes of a name that is not UTF-8 are kept."""
    path = PurePosixPath(file_name)
    if not file_name or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"file name is {file_name!r}, expected a path inside of the folder {folder}")
    return f"{folder}/{quote(file_name.encode('utf-8', 'surrogateescape'), safe=_URL_SAFE)}"


def _box(values: Iterable[Any]) -> list[float]:
    box = [_number(value) for value in values]
    if len(box) != 4:
        raise ValueError(f"a box has {len(box)} numbers, expected 4 (x, y, width, height)")
    return box


def _number(value: Any) -> float:
    number = round(float(value), 1)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return int(number) if number.is_integer() else number
