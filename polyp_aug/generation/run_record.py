"""What `run.json` says of a run's inputs and versions."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL

import polyp_aug
from polyp_aug.coco import CocoCategory, CocoLicense
from polyp_aug.generation.samples import DEFAULT_CATEGORY
from polyp_aug.synthesizers.options import EMBEDDED_WEIGHTS, PaintingOptions


def versions(*, diffusion: bool) -> dict[str, str]:
    """Versions of what decides the pictures.

    Args:
        diffusion: whether a diffusion model paints.
    """
    found = {
        "polyp_aug": polyp_aug.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }
    names = ("torch", "diffusers", "transformers") if diffusion else ()
    return found | {name: metadata.version(name) for name in names}


def described_weights(painting: PaintingOptions | None, revision: str) -> dict[str, str]:
    """Names, for people, and revision of the weights that paint; empty where none do.

    Args:
        painting: the options, or None where no diffusion model paints.
        revision: of the synthesizer.
    """
    if painting is None:
        return {}
    named = {"weights": painting.weights or EMBEDDED_WEIGHTS, "base": painting.base, "lora": painting.lora}
    return {name: _name(source) for name, source in named.items() if source} | {"weights_revision": revision}


def category_rows(found: Sequence[CocoCategory]) -> list[dict[str, Any]]:
    """Categories by name, in order, with ids from 1; the first with a name keeps its id where that is free.

    The default category is always there.
    """
    rows: dict[str, CocoCategory] = {}
    for category in (*found, CocoCategory(1, DEFAULT_CATEGORY)):
        if category.name not in rows:
            taken = {row.id for row in rows.values()}
            free = category.id if category.id not in taken else max(taken) + 1
            rows[category.name] = CocoCategory(free, category.name, category.supercategory)
    return [{"id": row.id, "name": row.name, "supercategory": row.supercategory} for row in rows.values()]


def license_rows(found: Sequence[CocoLicense]) -> list[dict[str, Any]]:
    """Licences by name and address, in order, with ids from 1."""
    rows = dict.fromkeys((licence.name, licence.url) for licence in found)
    return [{"id": number, "name": name, "url": url} for number, (name, url) in enumerate(rows, start=1)]


def _name(source: str) -> str:
    """A hub id as it is; of a path only the last part, since machines differ."""
    path = Path(source)
    return path.resolve().name if path.exists() else source
