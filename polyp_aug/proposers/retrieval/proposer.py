"""The `retrieval` proposer: where a frame looks like mucosa that a polyp was removed from.

Three steps, as in Polyp-Gen: the references whose global feature is nearest; of each, the patches of its polyp's mask
matched with patches of the frame; clusters of these matches, the largest first. Each cluster is a proposal. The
proposals of all candidates are ranked together, and those that leave the mucosa or meet others are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from polyp_aug.database.folder import ReferenceDatabase
from polyp_aug.database.reference import RemovedPolyp
from polyp_aug.database.search import make_search
from polyp_aug.encoders.patches import PatchEncoder, PatchFeatures
from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import Box, IntBox, Region, boxes_meet
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key
from polyp_aug.mucosa import LEAST_SHARE, Mucosa, find_mucosa
from polyp_aug.proposers.base import with_margin
from polyp_aug.proposers.retrieval.matching import (
    Cluster,
    Matches,
    count_votes,
    find_clusters,
    match_patches,
    patch_centres,
)
from polyp_aug.proposers.retrieval.settings import RetrievalSettings
from polyp_aug.scene import Placement

#: A proposal that doesn't fit is made smaller by `SHRINK`, at most so often.
ATTEMPTS = 4
SHRINK = 0.85

#: Shortest side of a proposal in pixels.
SHORTEST = 12


@dataclass(frozen=True, eq=False)
class Candidate:
    """A reference that was matched with a frame.

    Attributes:
        reference: index in the database.
        distance: of the global features.
        matches: of their patches.
        clusters: of the matches, the largest first.
    """

    reference: int
    distance: float
    matches: Matches
    clusters: list[Cluster]


@dataclass(frozen=True, eq=False)
class Proposal:
    """A place that a cluster marks.

    Attributes:
        box: xywh in pixels, as the cluster and the settings give it; it may leave the mucosa.
        score: in (0, 1]: the share of the candidate's matches that lie in the cluster, times how close its matches are
            compared with those of the candidate whose are closest (mean distances). Of one candidate the largest
            cluster is the best.
        candidate: number of the candidate.
        cluster: number of its cluster.
        polyp: of the reference, the one that most matches of the cluster belong to.
    """

    box: Box
    score: float
    candidate: int
    cluster: int
    polyp: RemovedPolyp


@dataclass(frozen=True, eq=False)
class Retrieval:
    """All that was found for a frame.

    Attributes:
        candidates: the references, nearest first.
        proposals: best first.
        votes: how often each patch of the frame was matched, float64 (rows, columns).
        features: of the frame.
        mucosa: of the frame.
    """

    candidates: list[Candidate]
    proposals: list[Proposal]
    votes: npt.NDArray[np.float64] = field(repr=False)
    features: PatchFeatures = field(repr=False)
    mucosa: Mucosa = field(repr=False)


class RetrievalProposer:
    """Finds places by comparing a frame with a database of references. It can be pickled, and keeps no file open.

    Args:
        database: the references.
        encoder: the one that the database was made with.
        settings: see `RetrievalSettings`.

    Raises:
        DatabaseError: the database was made with another encoder, or is damaged.
        MissingDependencyError: FAISS is asked for and not installed.
    """

    name = "retrieval"

    def __init__(
        self, database: ReferenceDatabase, encoder: PatchEncoder, settings: RetrievalSettings | None = None
    ) -> None:
        database.check_encoder(encoder)
        self.database = database
        self.encoder = encoder
        self.settings = settings or RetrievalSettings()
        self._search = make_search(self.settings.search, database.pooled)

    def propose(self, image: ImageArray, count: int, key: Key, occupied: Sequence[Box] = ()) -> list[Placement]:
        """As `Proposer.propose`; the score is `Proposal.score`. A frame smaller than a patch has no places."""
        return self.propose_many([image], count, [key], [occupied])[0]

    def propose_many(
        self, images: Sequence[ImageArray], count: int, keys: Sequence[Key], occupied: Sequence[Sequence[Box]] = ()
    ) -> list[list[Placement]]:
        """Places on many frames, which are encoded and searched together.

        They are those that `propose` finds, up to the encoder's rounding, which may differ with what is in a batch.

        Args:
            images: uint8 RGB (H, W, 3) each.
            count: how many places are wanted on each.
            keys: the only source of randomness, one for each frame.
            occupied: boxes that must stay free, for each frame; none by default.

        Raises:
            ConfigurationError: there are more or fewer keys, or occupied boxes, than frames.
        """
        for name, given in (("keys", keys), ("occupied", occupied)):
            if len(given) != len(images) and (given or name == "keys"):
                raise ConfigurationError(f"{name!r} must be one for each of {len(images)} frames (got {len(given)})")
        large = [index for index, image in enumerate(images) if min(image.shape[:2]) >= self.encoder.patch]
        found: list[list[Placement]] = [[] for _ in images]
        for index, retrieval in zip(large, self.retrieve([images[index] for index in large]), strict=True):
            taken = occupied[index] if occupied else ()
            found[index] = self.place(retrieval, count, keys[index], taken)
        return found

    def retrieve(self, images: Sequence[ImageArray]) -> list[Retrieval]:
        """Candidates, matches and proposals for frames, without regard to what their places show.

        Raises:
            ImageError: a frame is smaller than a patch.
            DatabaseError: a file of the database is damaged.
        """
        if not images:
            return []
        features = self.encoder.encode(images)
        nearest, distances = self._search.nearest(
            np.stack([found.pooled for found in features]), self.settings.candidates
        )
        return [
            self._retrieve(image, found, rows.tolist(), row.tolist())
            for image, found, rows, row in zip(images, features, nearest, distances, strict=True)
        ]

    def _retrieve(
        self, image: ImageArray, features: PatchFeatures, nearest: Sequence[int], distances: Sequence[float]
    ) -> Retrieval:
        rows, columns, channels = features.local.shape
        mucosa = find_mucosa(image)
        patches = self._matched(mucosa, features)
        query = features.local.reshape(-1, channels)[patches]
        radius = self.settings.radius * max(features.patch) + 1.0
        candidates = []
        for index, distance in zip(nearest, distances, strict=True):
            local, _ = self.database.local(index)
            found = match_patches(query, local, self.settings.direction, self.settings.closest)
            matches = replace(found, query=patches[found.query])
            centres = patch_centres(matches.query, columns, features.patch)
            clusters = find_clusters(centres, features.patch, radius, self.settings.least)
            candidates.append(Candidate(index, distance, matches, clusters))
        votes = count_votes([candidate.matches for candidate in candidates], rows, columns)
        return Retrieval(candidates, self._rank(image, candidates), votes, features, mucosa)

    def _matched(self, mucosa: Mucosa, features: PatchFeatures) -> npt.NDArray[np.int64]:
        """Patches of a frame that take part in the matching, counted row by row; all where none shows mucosa."""
        region = mucosa.region() if self.settings.on_mucosa else None
        every = np.arange(features.local[..., 0].size)
        inside = every[features.inside(region).ravel()] if region else every
        return inside if len(inside) else every

    def _rank(self, image: ImageArray, candidates: Sequence[Candidate]) -> list[Proposal]:
        distances = [float(candidate.matches.distance.mean()) for candidate in candidates]
        proposals = []
        for number, (candidate, distance) in enumerate(zip(candidates, distances, strict=True)):
            closeness = min(distances) / distance if distance > 0 else 1.0
            reference = self.database.references[candidate.reference]
            for place, cluster in enumerate(candidate.clusters):
                share = len(cluster.members) / len(candidate.matches.query)
                polyp = reference.main_polyp(candidate.matches.reference[cluster.members])
                box = self._extent(image, cluster, polyp, reference.frame_size)
                proposals.append(Proposal(box, share * closeness, number, place, polyp))
        return sorted(proposals, key=lambda proposal: (-proposal.score, proposal.candidate, proposal.cluster))

    def _extent(self, image: ImageArray, cluster: Cluster, polyp: RemovedPolyp, frame_size: tuple[int, int]) -> Box:
        if self.settings.extent == "cluster":
            return cluster.box
        height, width = image.shape[:2]
        scale = min(width / frame_size[0], height / frame_size[1])
        w, h = polyp.box[2] * scale, polyp.box[3] * scale
        x, y, across, down = cluster.box
        return x + (across - w) / 2.0, y + (down - h) / 2.0, w, h

    def place(self, retrieval: Retrieval, count: int, key: Key, occupied: Sequence[Box] = ()) -> list[Placement]:
        """Placements from what was found for a frame, as `Proposer.propose` gives them."""
        mucosa = retrieval.mucosa
        taken = [with_margin(box) for box in occupied]
        placements: list[Placement] = []
        for proposal in self._drawn(retrieval.proposals, key):
            if len(placements) == count:
                break
            box = _fit(proposal.box, mucosa, taken)
            if box is None:
                continue
            x, y, w, h = box
            reference = self.database.references[retrieval.candidates[proposal.candidate].reference]
            details = {
                "database_reference": proposal.polyp.id,
                "database_source": reference.source.to_dict(),
                "candidate": proposal.candidate,
            }
            region = Region(x, y, np.ones((h, w), np.bool_))
            placements.append(Placement(region, proposal.score, self.name, details=details))
            taken.append(with_margin(box))
        return sorted(placements, key=lambda placement: -placement.score)

    def _drawn(self, proposals: Sequence[Proposal], key: Key) -> list[Proposal]:
        """Proposals in the order in which they are tried: by log score, with Gumbel noise (Plackett and Luce)."""
        if not proposals or self.settings.temperature == 0:
            return list(proposals)
        noise = key.generator("retrieval proposer").gumbel(size=len(proposals))
        scores = np.log([max(proposal.score, 1e-9) for proposal in proposals]) + self.settings.temperature * noise
        return [proposals[index] for index in np.argsort(-scores, kind="stable")]


def _fit(box: Box, mucosa: Mucosa, taken: Sequence[Box]) -> IntBox | None:
    """A box on mucosa that meets none of `taken`, with its margin: the box itself, or a smaller one in its middle."""
    x, y, w, h = box
    for _ in range(ATTEMPTS):
        left, top = max(0, round(x)), max(0, round(y))
        right, bottom = min(mucosa.width, round(x + w)), min(mucosa.height, round(y + h))
        if min(right - left, bottom - top) < SHORTEST:
            return None
        fitted = left, top, right - left, bottom - top
        free = not any(boxes_meet(with_margin(fitted), other) for other in taken)
        if free and mucosa.covers(fitted) >= LEAST_SHARE:
            return fitted
        x, y, w, h = x + w * (1 - SHRINK) / 2, y + h * (1 - SHRINK) / 2, w * SHRINK, h * SHRINK
    return None
