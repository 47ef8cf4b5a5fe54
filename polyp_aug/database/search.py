"""The nearest references by global feature."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from polyp_aug.errors import ConfigurationError
from polyp_aug.optional import require

#: Names of the searches, for options.
SEARCHES = ("exact", "faiss")

#: Queries that are compared together.
_TOGETHER = 16


class Search(Protocol):
    """Finds the nearest of many vectors."""

    def nearest(
        self, queries: npt.NDArray[np.float32], count: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The nearest vectors by L2 distance.

        Args:
            queries: float32 (queries, channels).
            count: how many for each; at most as many as there are.

        Returns:
            Indices, int64 (queries, count), nearest first, and their distances, float32 of the same shape.
        """


class ExactSearch:
    """Compares with every vector; of equally distant ones the first is the nearer.

    Args:
        vectors: float32 (vectors, channels), at least one.
    """

    def __init__(self, vectors: npt.NDArray[np.float32]) -> None:
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._squares = np.einsum("nc,nc->n", self._vectors, self._vectors)

    def nearest(
        self, queries: npt.NDArray[np.float32], count: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """As `Search.nearest`."""
        count = min(count, len(self._vectors))
        indices = np.empty((len(queries), count), np.int64)
        distances = np.empty((len(queries), count), np.float32)
        for first in range(0, len(queries), _TOGETHER):
            part = np.asarray(queries[first : first + _TOGETHER], dtype=np.float32)
            rough = self._squares - 2.0 * part @ self._vectors.T
            for row, (query, values) in enumerate(zip(part, rough, strict=True), start=first):
                indices[row], distances[row] = self._sorted(query, values, count)
        return indices, distances

    def _sorted(
        self, query: npt.NDArray[np.float32], rough: npt.NDArray[np.float32], count: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The nearest of a query, given |v|² − 2 q·v of every vector in single precision.

        That orders as |q − v|² does, up to rounding. All that rounding could bring among the nearest are compared
        anew, in double precision and without cancellation.
        """
        channels = len(query)
        scale = float(self._squares.max()) + 2.0 * float(np.sqrt(self._squares.max()) * np.linalg.norm(query))
        rounding = (channels + 4) * float(np.finfo(np.float32).eps) * scale
        limit = np.partition(rough, count - 1)[count - 1] + 2.0 * rounding
        close = np.flatnonzero(rough <= limit)
        distances = np.linalg.norm(self._vectors[close].astype(np.float64) - query, axis=1)
        order = np.argsort(distances, kind="stable")[:count]
        return close[order], distances[order]


class FaissSearch:
    """The same through FAISS, in single precision: of vectors that are as far but for rounding it may take another.

    Args:
        vectors: float32 (vectors, channels), at least one.

    Raises:
        MissingDependencyError: FAISS is not installed.
    """

    def __init__(self, vectors: npt.NDArray[np.float32]) -> None:
        self._index = require("faiss", "retrieval").IndexFlatL2(vectors.shape[1])
        self._index.add(np.ascontiguousarray(vectors, dtype=np.float32))

    def nearest(
        self, queries: npt.NDArray[np.float32], count: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """As `Search.nearest`."""
        count = min(count, self._index.ntotal)
        squares, found = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), count)
        return found, np.sqrt(np.maximum(squares, 0.0))


def make_search(name: str, vectors: npt.NDArray[np.float32]) -> Search:
    """A search by name.

    Raises:
        ConfigurationError: the name is unknown.
        MissingDependencyError: FAISS is asked for and not installed.
    """
    if name == "exact":
        return ExactSearch(vectors)
    if name == "faiss":
        return FaissSearch(vectors)
    raise ConfigurationError(f"'search' must be one of {', '.join(SEARCHES)} (got {name!r})")
