"""The page that readers answer: one HTML file that needs no network and opens from disk.

Template, style and scripts stand in `templates/`. A content security policy allows that very style and those scripts
(by their hashes) and pictures inside of the page, and nothing else. The page holds ids, pictures, outlines and
captions; where a picture comes from is not in it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

_JSON_ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&"}
_TEMPLATES = ("study.html", "study.css", "sha256.js", "study.js")


@dataclass(frozen=True, eq=False)
class ShownPicture:
    """A picture as the page holds it.

    Attributes:
        id: 16 hexadecimal digits.
        jpeg: the file; all are of the same length.
        outline: data of an SVG path in pixels; "" where readers aren't asked about the mask.
        caption: "" where readers aren't asked about the text.
    """

    id: str
    jpeg: bytes
    outline: str = ""
    caption: str = ""


def build_page(title: str, questions: Sequence[str], size: int, pictures: Sequence[ShownPicture]) -> tuple[str, bytes]:
    """The id of the study and its page.

    The id is a digest of all that the page shows, so that answers belong to one page; it is made of nothing that
    the page doesn't show.

    Args:
        title: heading of the page, plain text.
        questions: what is asked, in order.
        size: side of the pictures in pixels.
        pictures: in the order in which they are shown.

    Returns:
        16 hexadecimal digits, and the bytes of the HTML file.
    """
    shown = {
        "title": title,
        "questions": list(questions),
        "size": size,
        "pictures": [{"id": item.id, "outline": item.outline, "caption": item.caption} for item in pictures],
    }
    digest = hashlib.sha256(_json(shown).encode())
    for item in pictures:
        digest.update(hashlib.sha256(item.jpeg).digest())
    study = digest.hexdigest()[:16]
    blocks = (base64.b64encode(item.jpeg).decode("ascii") for item in pictures)
    page = _filled(
        {
            "title": html.escape(title),
            "data": _json({"study": study, **shown}),
            "pictures": "\n".join(f'<script type="text/plain" class="picture">{block}</script>' for block in blocks),
        }
    )
    return study, page.encode("utf-8", "xmlcharrefreplace")


def _filled(values: Mapping[str, str]) -> str:
    folder = files("polyp_aug.reader_study") / "templates"
    template, style, *scripts = ((folder / name).read_text(encoding="utf-8") for name in _TEMPLATES)
    known = {
        **values,
        "style": style,
        "style_hash": _csp_hash(style),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
        "script_hashes": " ".join(f"'{_csp_hash(script)}'" for script in scripts),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: known[match[1]], template)


def _csp_hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).translate(_JSON_ESCAPES)
