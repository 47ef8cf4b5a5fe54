"""Sizes and shapes of real polyps, as a small statistical model that can be measured, stored and drawn from.

An outline is described in three steps: its size (equivalent diameter as a share of the shorter side of the frame), the
aspect ratio of the ellipse with the same second moments, and the logarithm of its radius in the coordinates in which
that ellipse is a unit circle, as a Fourier series over the angle:

    log r(θ) = Σ_k s_k (a_k cos kθ + b_k sin kθ),  k = 3 … 8,  a_k, b_k ~ N(0, 1)

(k = 1 is a shift and k = 2 the ellipse itself.) Size and aspect ratio are stored as quantiles, s_k as the root mean
square amplitude measured.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import Region

HARMONICS = tuple(range(3, 9))
_QUANTILES = np.linspace(0.02, 0.98, 25)
_ANGLES = np.linspace(0.0, 2.0 * np.pi, 96, endpoint=False)


@dataclass(frozen=True)
class ShapeStatistics:
    """The model.

    Attributes:
        diameter: rising quantiles (2 % … 98 %) of equivalent diameter / shorter side of the frame.
        aspect: rising quantiles of minor / major axis, in (0, 1].
        harmonics: s_k for k = 3 … 8.
        source: what was measured, in words.
    """

    diameter: tuple[float, ...]
    aspect: tuple[float, ...]
    harmonics: tuple[float, ...]
    source: str

    @classmethod
    def embedded(cls) -> ShapeStatistics:
        """The statistics that come with the package."""
        text = resources.files("polyp_aug.proposers").joinpath("shape_statistics.json").read_text("utf-8")
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ShapeStatistics:
        """From what `to_dict` returned."""
        rows = {name: tuple(float(v) for v in values[name]) for name in ("diameter", "aspect", "harmonics")}
        return cls(**rows, source=str(values["source"]))

    @classmethod
    def measure(cls, regions: Iterable[tuple[Region, int, int]], source: str) -> ShapeStatistics:
        """Measure the model.

        Args:
            regions: (region, frame width, frame height) of every polyp.
            source: what is measured, in words.

        Raises:
            ConfigurationError: fewer than 20 usable regions.
        """
        diameters, aspects, amplitudes = [], [], []
        for region, width, height in regions:
            outline = _normalised_outline(region)
            if outline is None:
                continue
            aspect, log_radius = outline
            diameters.append(region.equivalent_diameter / min(width, height))
            aspects.append(aspect)
            spectrum = np.fft.rfft(log_radius) * 2.0 / len(log_radius)
            amplitudes.append(np.abs(spectrum[list(HARMONICS)]) ** 2 / 2.0)
        if len(diameters) < 20:
            raise ConfigurationError(f"shape statistics need at least 20 polyps with masks (got {len(diameters)})")
        return cls(
            tuple(round(float(v), 4) for v in np.quantile(diameters, _QUANTILES)),
            tuple(round(float(v), 4) for v in np.quantile(aspects, _QUANTILES)),
            tuple(round(float(v), 4) for v in np.sqrt(np.mean(amplitudes, axis=0))),
            source,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        rows = {"diameter": self.diameter, "aspect": self.aspect, "harmonics": self.harmonics}
        return {"source": self.source, **{name: list(row) for name, row in rows.items()}}

    def draw_diameter(self, generator: np.random.Generator, smallest: float, largest: float) -> float:
        """An equivalent diameter as a share of the shorter side, from the distribution inside of the given range."""
        quantiles = np.array([0.0, *_QUANTILES, 1.0])
        # Beyond what was measured, all sizes down to nothing and up to the whole frame are taken as equally likely.
        sizes = np.array([0.0, *self.diameter, max(1.0, self.diameter[-1] + 1e-6)])
        low, high = np.interp([smallest, largest], sizes, quantiles)
        return float(np.interp(generator.uniform(low, high), quantiles, sizes))

    def draw_outline(self, generator: np.random.Generator) -> npt.NDArray[np.float64]:
        """An outline: float64 (96, 2), x and y of the corners, of area 1, around the origin."""
        log_radius = np.zeros_like(_ANGLES)
        for order, amplitude in zip(HARMONICS, self.harmonics, strict=True):
            cosine, sine = generator.normal(0.0, amplitude, 2)
            log_radius += cosine * np.cos(order * _ANGLES) + sine * np.sin(order * _ANGLES)
        radius = np.exp(np.clip(log_radius, -0.7, 0.7))
        aspect = np.interp(generator.uniform(0.02, 0.98), _QUANTILES, self.aspect)
        points = np.stack([radius * np.cos(_ANGLES), radius * np.sin(_ANGLES) * aspect], axis=1)
        turn = generator.uniform(0.0, 2.0 * np.pi)
        rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        points = points @ rotation
        x, y = points[:, 0], points[:, 1]
        area = 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))
        return np.asarray(points / math.sqrt(area))


def _normalised_outline(region: Region) -> tuple[float, npt.NDArray[np.float64]] | None:
    """(aspect ratio, log radius at 96 angles) of a region, or None where it is too small to tell."""
    rows, columns = np.nonzero(region.crop)
    if len(rows) < 64:
        return None
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    centre = points.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((points - centre).T))
    if values[0] <= 0:
        return None
    contours, _ = cv2.findContours(region.crop.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=cv2.contourArea)[:, 0, :].astype(np.float64)
    # Half an axis of a filled ellipse is twice the standard deviation along it.
    unit = (outline - centre) @ vectors / (2.0 * np.sqrt(values))
    angle, radius = np.arctan2(unit[:, 1], unit[:, 0]), np.linalg.norm(unit, axis=1)
    order = np.argsort(angle)
    sampled = np.interp(_ANGLES, angle[order], radius[order], period=2.0 * np.pi)
    return float(np.sqrt(values[0] / values[1])), np.log(np.maximum(sampled, 0.05))
