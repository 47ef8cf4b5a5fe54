"""A database that is built in a second: an encoder that takes mean colours, a synthesizer that paints one colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from polyp_aug.coco import CocoDataset, read_coco
from polyp_aug.encoders.patches import PatchEncoder, PatchFeatures, PatchGrid
from polyp_aug.images import ImageArray
from polyp_aug.indexing import IndexProgress, build_database
from polyp_aug.removal import Remover, RemoverSettings
from polyp_aug.scene import Job, Painted, Rejection
from polyp_aug.synthesizers.base import Capabilities


@dataclass(frozen=True)
class ColourEncoder:
    """Mean and deviation of the colours of every patch."""

    grid: PatchGrid = field(default_factory=lambda: PatchGrid(16))
    revision: str = "1"
    name: str = "colours"
    weights: str = ""
    channels: ClassVar = 6

    @property
    def patch(self) -> int:
        return self.grid.patch

    @property
    def side(self) -> int:
        return self.grid.side or 0

    def encode(self, images: Sequence[ImageArray]) -> list[PatchFeatures]:
        found = []
        for image in images:
            fitted, patch = self.grid.fit(image)
            rows, columns = (side // self.patch for side in fitted.shape[:2])
            cells = fitted.reshape(rows, self.patch, columns, self.patch, 3).astype(np.float32)
            local = np.concatenate([cells.mean(axis=(1, 3)), cells.std(axis=(1, 3))], axis=2)
            found.append(PatchFeatures(local, patch))
        return found


@dataclass
class Counting:
    """An encoder that remembers what it was given."""

    inner: PatchEncoder
    seen: list[ImageArray] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def encode(self, images: Sequence[ImageArray]) -> list[PatchFeatures]:
        self.seen.extend(images)
        return self.inner.encode(images)


@dataclass
class Eraser:
    """Paints the mean colour of the frame around a place, with what the key draws, or refuses."""

    refused_above: int | None = None
    name: str = "eraser"
    revision: str = "r1"
    capabilities: ClassVar = Capabilities(output="edit", feathered=True, removes=True)
    jobs: list[Job] = field(default_factory=list)

    def paint(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
        self.jobs.extend(jobs)
        return [self._paint(job) for job in jobs]

    def _paint(self, job: Job) -> Painted | Rejection:
        if self.refused_above is not None and job.region.area > self.refused_above:
            return Rejection("too large for me")
        small = cv2.resize(job.image, (8, 8), interpolation=cv2.INTER_AREA)
        noise = job.key.generator("eraser").normal(0.0, 4.0, job.image.shape)
        plain = cv2.resize(small, job.image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return Painted(np.clip(plain * 0.9 + noise, 0, 255).astype(np.uint8))


def build(
    dataset: CocoDataset | Path,
    path: Path,
    *,
    eraser: Eraser | None = None,
    encoder: PatchEncoder | None = None,
    settings: RemoverSettings | None = None,
    **options: Any,
) -> IndexProgress:
    """Build a database of a data set."""
    remover = Remover(eraser or Eraser(), settings or RemoverSettings(least_change=0.5))
    read = read_coco(dataset) if isinstance(dataset, Path) else dataset
    return build_database(
        read, path, remover=remover, encoder=encoder or ColourEncoder(), **({"batch_size": 2, "shard": 3} | options)
    )
