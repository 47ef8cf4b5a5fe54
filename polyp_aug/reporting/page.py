"""The page of a report. Its template escapes whatever comes from a file; it has no script and asks for nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

#: Control characters are no part of HTML: they become their symbols, all but tabulators and line feeds.
_VISIBLE_CONTROLS = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {0x7F: 0x2421}


def render_page(content: Mapping[str, object]) -> bytes:
    """The page, in UTF-8.

    A content security policy allows its style sheet, by the hash, and pictures that stand in the page, and nothing
    else.

    Args:
        content: what `templates/report.html` names.
    """
    folder = files("polyp_aug.reporting") / "templates"
    template, style = ((folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.css"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    # The style sheet is the package's own.
    own = {"style": Markup(style), "style_hash": f"sha256-{digest}"}  # noqa: S704
    page = environment.from_string(template).render({**content, **own})
    return page.translate(_VISIBLE_CONTROLS).encode("utf-8", "xmlcharrefreplace")
