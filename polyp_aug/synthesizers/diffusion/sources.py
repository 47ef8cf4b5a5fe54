"""Where weights come from: a path of this machine, or a hub id with a pinned revision, `org/name@commit`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_HUB_ID = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
_UNPINNED = re.compile(r"[\w.-]+/[\w.-]+")


def parse_hub_id(source: str) -> tuple[str, str] | None:
    """Name and commit of a pinned hub id; None where the source is a path, or no pinned id."""
    found = _HUB_ID.fullmatch(source)
    return (found["name"], found["revision"]) if found and not Path(source).exists() else None


def is_unpinned(source: str) -> bool:
    """Whether a source looks like a hub id that lacks its commit."""
    return _UNPINNED.fullmatch(source) is not None and not Path(source).exists()


def hub_arguments(source: str) -> tuple[str, dict[str, Any]]:
    """What `from_pretrained` takes: the name or path, and its revision where there is one."""
    found = parse_hub_id(source)
    return (found[0], {"revision": found[1]}) if found else (source, {})
