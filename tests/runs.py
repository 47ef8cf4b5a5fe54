"""What the tests of runs share."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from conftest import Phantoms

from polyp_aug.generation.config import GenerateConfig


def config(phantoms: Phantoms, **changes: Any) -> GenerateConfig:
    """A small run."""
    settings: dict[str, Any] = {"count": 5, "seed": 1, "batch_size": 2, "polyps_per_image": (1, 2)}
    settings |= {"backgrounds": phantoms.backgrounds, "references": phantoms.references} | changes
    if "per_image" in changes:
        settings["count"] = None
    return GenerateConfig(**settings)


def digests(folder: Path) -> dict[str, str]:
    """Every file of a folder but for the lock, by its relative name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def records(folder: Path) -> list[dict[str, Any]]:
    """The manifest."""
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines()]
