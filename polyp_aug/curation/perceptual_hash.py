"""A perceptual hash: pictures that look alike have hashes that differ in few bits.

The common "pHash" (Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, section 3.2.1), of
256 bits: in endoscopy the usual 64 bits see little more than the field of view.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.images import ImageArray

#: Side in pixels of the reduced picture, and of the square of its lowest frequencies, one bit each.
SIDE, LOWEST = 64, 16
BITS = LOWEST * LOWEST

#: Packed bits, uint8 (…, 32).
Hashes = npt.NDArray[np.uint8]


def perceptual_hash(picture: ImageArray) -> Hashes:
    """The hash of a picture, uint8 RGB (H, W, 3): uint8 (32,).

    The grey picture is reduced to 64×64 px by area averaging. A bit is set where a coefficient of its cosine transform
    is above the median of the lowest 16×16.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    reduced = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    lowest = cv2.dct(reduced)[:LOWEST, :LOWEST]
    return np.packbits(lowest > np.median(lowest))


def hamming(first: Hashes, second: Hashes) -> npt.NDArray[np.int64]:
    """Bits in which hashes differ: int64 (N, M) of uint8 (N, 32) and (M, 32)."""
    different = np.bitwise_count(first[:, None, :] ^ second[None, :, :])
    return np.asarray(different.sum(axis=-1, dtype=np.int64))


def nearest_hash(
    queries: Hashes, references: Hashes, rows: int = 64
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The nearest reference of each query, the first of equal ones.

    Args:
        queries: uint8 (N, V, 32), V views of each query, of which the nearest counts.
        references: uint8 (M, 32), M at least 1.
        rows: views that are compared with all references at once: 40 bytes for each pair of them.

    Returns:
        Bits in which they differ, and numbers of the references, both int64 (N,).
    """
    count, views = queries.shape[:2]
    distances, numbers = np.empty(count, np.int64), np.empty(count, np.int64)
    step = max(1, rows // views)
    for start in range(0, count, step):
        part = queries[start : start + step]
        found = hamming(part.reshape(-1, part.shape[-1]), references).reshape(len(part), views, -1).min(axis=1)
        numbers[start : start + step] = found.argmin(axis=1)
        distances[start : start + step] = found.min(axis=1)
    return distances, numbers
