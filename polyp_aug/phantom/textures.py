"""Periodic textures of the mucosa: noise of a frequency band, and a branching vessel network."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft

Floats = npt.NDArray[np.float32]


def band_noise(rng: np.random.Generator, size: int, low: float, high: float) -> Floats:
    """Periodic Gaussian noise whose wave numbers lie between `low` and `high` cycles a tile.

    Returns:
        float32 (size, size), mean 0, standard deviation 1.
    """
    # Only the lines of the spectrum that hold the band are drawn, so a low band costs nothing.
    reach = min(size // 2 - 1, int(high * 1.5) + 1)
    rows = np.concatenate([np.arange(0, reach + 1), np.arange(-reach, 0)])
    columns = np.arange(reach + 1)
    waves = np.hypot(rows[:, None], columns[None, :]).astype(np.float32)
    centre, width = 0.5 * (low + high), max(0.5, 0.5 * (high - low))
    amplitude = np.exp(-(((waves - centre) / width) ** 2))
    amplitude[0, 0] = 0.0
    parts = rng.standard_normal((2, *waves.shape), dtype=np.float32)
    spectrum = np.zeros((size, size // 2 + 1), dtype=np.complex64)
    spectrum[rows[:, None], columns[None, :]] = amplitude * (parts[0] + 1j * parts[1])
    noise = fft.irfft2(spectrum, s=(size, size))
    return np.asarray(noise / noise.std(), dtype=np.float32)


def vessels(rng: np.random.Generator, size: int, trees: int) -> Floats:
    """A periodic network of branching vessels.

    Returns:
        float32 (size, size) in [0, 1]: 0 without, 1 in the middle of a thick vessel.
    """
    pad, steps = size // 4, 24
    canvas = np.zeros((size + 2 * pad, size + 2 * pad), dtype=np.uint8)
    starts = rng.uniform(pad, pad + size, (trees, 2))
    headings = rng.uniform(0, 2 * np.pi, trees)
    calibres = rng.uniform(1.6, 3.2, trees)
    for _ in range(5):
        branches = len(starts)
        turns = headings[:, None] + np.cumsum(rng.normal(0.0, 0.17, (branches, steps)), axis=1)
        turns += 0.25 * np.sin(np.arange(steps) * rng.uniform(0.3, 0.7, (branches, 1)))
        paces = size / 220 * rng.uniform(0.6, 1.4, branches)[:, None]
        moves = np.stack([np.cos(turns) * paces, np.sin(turns) * paces], axis=2)
        points = np.concatenate([starts[:, None], starts[:, None] + np.cumsum(moves, axis=1)], axis=1)
        lines = np.round(points * 16).astype(np.int32)
        for line, calibre in zip(lines, calibres.tolist(), strict=True):
            tone = round(90 + 165 * min(1.0, calibre / 3.0))
            cv2.polylines(canvas, [line], False, tone, max(1, round(calibre)), cv2.LINE_AA, 4)
        forks = rng.integers(steps // 3, steps, (2, branches))
        each = np.arange(branches)
        starts = np.concatenate([points[each, fork + 1] for fork in forks])
        angles = rng.uniform(0.35, 0.9, (2, branches)) * np.array([[-1.0], [1.0]])
        headings = np.concatenate([turns[each, fork] + angle for fork, angle in zip(forks, angles, strict=True)])
        calibres = np.tile(calibres, 2) * rng.uniform(0.55, 0.85, 2 * branches)
        kept = calibres > 0.6
        starts, headings, calibres = starts[kept], headings[kept], calibres[kept]
    # What reached over the edge comes back on the other side.
    for axis in (0, 1):
        across = np.moveaxis(canvas, axis, 0)
        np.maximum(across[size : size + pad], across[:pad], out=across[size : size + pad])
        np.maximum(across[pad : 2 * pad], across[size + pad :], out=across[pad : 2 * pad])
    network = cv2.GaussianBlur(np.ascontiguousarray(canvas[pad : pad + size, pad : pad + size]), (0, 0), 1.5)
    return np.asarray(network, dtype=np.float32) / 255.0


def dot(first: Floats, second: Floats) -> Floats:
    """Inner products (...) of vectors (..., 3) or (..., 2); NumPy's own sums are slow on so short an axis."""
    total = first[..., 0] * second[..., 0]
    for axis in range(1, first.shape[-1]):
        total = total + first[..., axis] * second[..., axis]
    return np.asarray(total, dtype=np.float32)


def unit(vectors: Floats) -> Floats:
    """Vectors (..., 3) scaled to length 1."""
    return np.asarray(vectors / np.maximum(np.sqrt(dot(vectors, vectors)), 1e-6)[..., None], dtype=np.float32)


def interpolate(table: Floats, columns: Floats, rows: Floats, border: int = cv2.BORDER_WRAP) -> Floats:
    """Bilinear values of a table (H, W) or (H, W, C) at N places.

    Args:
        columns: float32 (N,), in samples.
        rows: float32 (N,), in samples.
        border: OpenCV's rule for places outside of the table.

    Returns:
        float32 (N,) or (N, C).
    """
    # remap takes no side above 32,767, so the list of places is folded into lines.
    count, line = columns.shape[0], 1024
    folded = np.zeros((2, -(-count // line) * line), dtype=np.float32)
    folded[0, :count], folded[1, :count] = columns, rows
    maps = folded.reshape(2, -1, line)
    values = cv2.remap(table, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(values.reshape(-1, *table.shape[2:])[:count], dtype=np.float32)


def sample_tile(tile: Floats, u: Floats, v: Floats) -> Floats:
    """Bilinear values of a periodic tile (N, N) or (N, N, C) at places (M,) that count in periods."""
    size = np.float32(tile.shape[0])
    return interpolate(tile, (u - np.floor(u)) * size, (v - np.floor(v)) * size)
