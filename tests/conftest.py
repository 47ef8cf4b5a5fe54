"""Fixtures that several test files share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from polyp_aug.phantom import write_phantom_dataset

# The same examples in every run, and no limit of time for one: machines differ.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real frames: POLYP_AUG_REAL_DATA, or beside the repository; skips where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "colonoscopy"
    folder = Path(os.environ.get("POLYP_AUG_REAL_DATA") or beside)
    if not folder.is_dir():
        pytest.skip("no real images: set POLYP_AUG_REAL_DATA to their folder")
    return folder


@dataclass(frozen=True)
class Phantoms:
    """Small phantom data sets on disk."""

    backgrounds: Path
    references: Path


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Phantoms:
    """Six polyp-free frames (a folder of pictures) and ten with polyps (a COCO folder), of 256×216 pixels."""
    root = tmp_path_factory.mktemp("phantoms")
    write_phantom_dataset(root / "normal", count=6, seed=1, polyps=None, width=256, height=216)
    write_phantom_dataset(root / "polyp", count=10, seed=500, polyps=(1, 2), width=256, height=216)
    return Phantoms(root / "normal" / "images", root / "polyp")
