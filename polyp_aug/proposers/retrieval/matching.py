"""Matching patches of a frame with those where a polyp was, and the places that the matches mark.

::

    M = {p : p = argmin_u d(u, v), v in the mask of the reference}      (Polyp-Gen, equation 5)
    d(j, k) = ‖f_q(j) − f_c(k)‖₂                                        (equation 6)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.cluster import DBSCAN

from polyp_aug.geometry import Box

#: From where matches are sought: for every masked patch of the reference the nearest of the frame (the paper), or for
#: every patch of the frame the nearest masked one (the published code).
Direction = Literal["reference_to_query", "query_to_reference"]
DIRECTIONS: tuple[Direction, ...] = ("reference_to_query", "query_to_reference")


@dataclass(frozen=True, eq=False)
class Matches:
    """Pairs of patches, nearest features first.

    Attributes:
        query: int64 (N,), patches of the frame, counted row by row. One may stand here more than once.
        reference: int64 (N,), masked patches of the reference, in the order of its local features.
        distance: float32 (N,), between their features.
    """

    query: npt.NDArray[np.int64]
    reference: npt.NDArray[np.int64]
    distance: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Cluster:
    """Matches that lie together.

    Attributes:
        members: int64 (N,), indices into the matches.
        box: xywh in pixels of the frame: the rectangle that encloses the centres of their patches, grown by half a
            patch.
    """

    members: npt.NDArray[np.int64]
    box: Box


def match_patches(
    query: npt.NDArray[np.float32], reference: npt.NDArray[np.float32], direction: Direction, closest: int
) -> Matches:
    """The closest matches between a frame and a reference.

    Args:
        query: float32 (patches, channels), all patches of the frame, row by row.
        reference: float32 (masked patches, channels), of the reference.
        direction: see `Direction`.
        closest: how many to keep.
    """
    # Computed in double precision, against cancellation, and compared in single: patches that look the same are as far,
    # and the first of them is taken.
    wide, narrow = query.astype(np.float64), reference.astype(np.float64)
    squares = np.einsum("nc,nc->n", wide, wide)[:, None] + np.einsum("nc,nc->n", narrow, narrow) - 2.0 * wide @ narrow.T
    distances = np.sqrt(np.maximum(squares, 0.0)).astype(np.float32)
    pairs: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
    if direction == "reference_to_query":
        pairs = distances.argmin(axis=0), np.arange(len(reference))
    else:
        pairs = np.arange(len(query)), distances.argmin(axis=1)
    distance = distances[pairs]
    order = np.argsort(distance, kind="stable")[:closest]
    return Matches(pairs[0][order], pairs[1][order], distance[order])


def patch_centres(patches: npt.NDArray[np.int64], columns: int, patch: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Centres of patches, counted row by row, in pixels of the frame: float64 (N, 2), x and y."""
    rows, across = np.divmod(patches, columns)
    return np.stack([(across + 0.5) * patch[0], (rows + 0.5) * patch[1]], axis=1)


def find_clusters(
    centres: npt.NDArray[np.float64], patch: tuple[float, float], radius: float, least: int
) -> list[Cluster]:
    """Clusters of matched patches by DBSCAN, the one with most matches first, the closest of equal ones.

    Args:
        centres: float64 (N, 2), x and y in pixels, closest matches first.
        patch: width and height of a patch in pixels.
        radius: ε in pixels.
        least: matches within ε that make a patch part of a cluster's core.
    """
    labels = DBSCAN(eps=radius, min_samples=least).fit_predict(centres)
    clusters = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
    # The first member is a cluster's closest match.
    return [
        Cluster(members, _enclosing(centres[members], patch))
        for members in sorted(clusters, key=lambda members: (-len(members), members[0]))
    ]


def count_votes(matches: Sequence[Matches], rows: int, columns: int) -> npt.NDArray[np.float64]:
    """How often each patch of a frame was matched: float64 (rows, columns)."""
    patches = np.concatenate([found.query for found in matches]) if matches else np.empty(0, np.int64)
    return np.bincount(patches, minlength=rows * columns).reshape(rows, columns).astype(np.float64)


def _enclosing(points: npt.NDArray[np.float64], patch: tuple[float, float]) -> Box:
    half = np.array(patch) / 2.0
    low, high = points.min(axis=0) - half, points.max(axis=0) + half
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])
