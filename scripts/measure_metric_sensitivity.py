"""Do the measures of sets of pictures see what they should? Real frames are spoilt more and more, and measured.

Held-out frames are compared with training frames, all squeezed to the network's square, after: blur (σ in px), noise (σ
in grey levels), colour shift (share of red that is lost and blue that is gained), pasted patches (squares of other
frames) and copies (share of frames that are replaced by training frames). Dropped modes are tried the other way round,
since there are more training frames: as many of them at every level, of fewer and fewer clusters of features, are
compared with the held-out frames. Below each table stands whether a measure moved as it should, step by step, where it
should move at all. Features are kept in CACHE.

Usage: measure_metric_sensitivity.py --train KVASIR_TRAIN --test KVASIR_TEST --cache DIR [--out FILE.md] [--clusters 10]
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from sklearn.cluster import KMeans

from polyp_aug.evaluation.feature_cache import FeatureCache
from polyp_aug.evaluation.features import EfficientNetLiteFeatures, Features
from polyp_aug.evaluation.frechet import frechet_distance
from polyp_aug.evaluation.images import SetSource
from polyp_aug.evaluation.inception_score import inception_score
from polyp_aug.evaluation.kernel_distance import kernel_distance
from polyp_aug.evaluation.manifold import manifold_scores
from polyp_aug.evaluation.neighbours import memorisation, nearest
from polyp_aug.evaluation.perceptual import MOST, PerceptualNetwork, choose_diverse, pair_distances
from polyp_aug.evaluation.picture_sets import Choice, PictureSet, list_pictures, open_set, read_pictures
from polyp_aug.evaluation.report import Table, make_folder
from polyp_aug.images import ImageArray, write_bytes
from polyp_aug.keys import Key

#: Distortion → its levels; 0 leaves the frames as they are.
LEVELS: Mapping[str, Sequence[float]] = {
    "blur": (0, 0.5, 1, 2, 4),
    "noise": (0, 8, 16, 32, 64),
    "colour shift": (0, 0.1, 0.2, 0.3, 0.4),
    "pasted patches": (0, 1, 2, 4, 8),
    "dropped modes": (0, 0.2, 0.4, 0.6, 0.8),
    "copies": (0, 0.1, 0.25, 0.5, 1),
}

#: Measure → digits of its value and factor by which it is shown.
MEASURES = {
    "Fréchet": (2, 1),
    "kernel × 1000": (2, 1000),
    "precision, %": (1, 100),
    "recall, %": (1, 100),
    "density": (2, 1),
    "coverage, %": (1, 100),
    "IS": (2, 1),
    "diversity": (3, 1),
    "close, %": (1, 100),
}

#: What should rise (1) and fall (−1) with a distortion; of the others nothing is asked.
_WORSE = {"Fréchet": 1, "kernel × 1000": 1, "precision, %": -1, "density": -1, "coverage, %": -1}
EXPECTED: Mapping[str, Mapping[str, int]] = {
    "blur": _WORSE,
    "noise": _WORSE,
    "colour shift": _WORSE,
    "pasted patches": _WORSE,
    "dropped modes": {
        "Fréchet": 1,
        "kernel × 1000": 1,
        "recall, %": -1,
        "coverage, %": -1,
        "IS": -1,
        "diversity": -1,
    },
    "copies": {"Fréchet": -1, "kernel × 1000": -1, "close, %": 1},
}

#: Side of a pasted patch in px, of pictures of 224.
PATCH = 32


@dataclass(frozen=True)
class Measured:
    """Pictures of the two real sets: what they are compared with, their features, and distances of pairs."""

    reference: Features
    features: Features
    distances: Features


def spoilt(image: ImageArray, other: ImageArray, kind: str, level: float, key: Key) -> ImageArray:
    """A picture after a distortion; patches are taken from the other picture."""
    generator = key.generator(kind)
    if level == 0:
        return image
    if kind == "blur":
        return np.asarray(cv2.GaussianBlur(image, (0, 0), level), np.uint8)
    if kind == "noise":
        return np.asarray(np.clip(image + generator.normal(0.0, level, image.shape), 0, 255), np.uint8)
    if kind == "colour shift":
        return np.asarray(np.clip(image * np.array([1.0 - level, 1.0, 1.0 + level]), 0, 255), np.uint8)
    result = image.copy()
    for _ in range(int(level)):
        (y, x), (v, u) = generator.integers(0, image.shape[0] - PATCH, (2, 2))
        result[y : y + PATCH, x : x + PATCH] = other[v : v + PATCH, u : u + PATCH]
    return result


class Bench:
    """The two real sets, the networks, and what has been computed."""

    def __init__(self, train: Path, test: Path, cache: Path, seed: int) -> None:
        self.extractor, self.network = EfficientNetLiteFeatures(), PerceptualNetwork()
        self.cache, self.seed = FeatureCache(cache), seed
        self.train, self.test = (
            list_pictures(name, open_set(source.path), "real", Choice(), {})
            for name, source in (("train", SetSource(train)), ("test", SetSource(test)))
        )
        self.reference = self.features(self.train, "", 0)
        self.heldout = nearest(self.features(self.test, "", 0)[:, None], self.reference)

    def pictures(self, item: PictureSet, numbers: Sequence[int], kind: str, level: float) -> list[ImageArray]:
        """Pictures of a set after a distortion."""
        found = []
        for number in numbers:
            pair = (number, (number + 1) % len(item.pictures))
            image, other = read_pictures([item.pictures[place] for place in pair], self.extractor.size)
            found.append(spoilt(image, other, kind, level, Key(self.seed, item.pictures[number].name)))
        return found

    def features(self, item: PictureSet, kind: str, level: float) -> Features:
        """Features of a set after a distortion."""
        return self.cache.rows(
            f"{self.extractor.label}-{self.extractor.revision}",
            [self._key(key, kind, level) for key in item.keys],
            lambda numbers: self.extractor.extract(self.pictures(item, numbers, kind, level)),
        )

    def distances(self, chosen: Sequence[tuple[PictureSet, int]], kind: str, level: float) -> Features:
        """Perceptual distances of some pictures, the same places of a set at every level."""
        places = choose_diverse([str(place) for place in range(len(chosen))], self.seed, "sensitivity")[:MOST]
        taken = [chosen[place] for place in places]
        keys = " ".join(self._key(item.keys[number], kind, level) for item, number in taken)
        return self.cache.array(
            f"perceptual-{self.network.revision}",
            hashlib.sha256(keys.encode()).hexdigest()[:32],
            lambda: pair_distances(
                self.network.vectors(
                    picture for item, number in taken for picture in self.pictures(item, [number], kind, level)
                )
            ),
        )

    def _key(self, key: str, kind: str, level: float) -> str:
        return key if level == 0 else hashlib.sha256(f"{key} {kind} {level} {self.seed}".encode()).hexdigest()


def distorted(bench: Bench, kind: str, level: float) -> Measured:
    """All held-out frames after a distortion."""
    chosen = [(bench.test, number) for number in range(len(bench.test.pictures))]
    return Measured(bench.reference, bench.features(bench.test, kind, level), bench.distances(chosen, kind, level))


def without_modes(bench: Bench, level: float, clusters: int) -> Measured:
    """As many training frames at every level, of fewer and fewer clusters, beside the held-out frames."""
    labels = KMeans(clusters, n_init=10, random_state=bench.seed).fit_predict(bench.reference)
    order = Key(bench.seed, "modes").generator("clusters").permutation(clusters)
    left = {share: order[round(share * clusters) :] for share in LEVELS["dropped modes"]}
    count = int(np.isin(labels, left[max(left)]).sum())
    shuffled = Key(bench.seed, "modes").generator("frames").permutation(len(labels))
    kept = [int(number) for number in shuffled if labels[number] in left[level]][:count]
    distances = bench.distances([(bench.train, number) for number in kept], "", 0)
    return Measured(bench.features(bench.test, "", 0), bench.reference[kept], distances)


def with_copies(bench: Bench, level: float) -> Measured:
    """Held-out frames, a share of which is replaced by training frames."""
    count = len(bench.test.pictures)
    replaced = Key(bench.seed, "copies").generator("frames").permutation(count)[: round(level * count)]
    copied = Key(bench.seed, "copies").generator("training").permutation(len(bench.train.pictures))
    features, chosen = bench.features(bench.test, "", 0).copy(), [(bench.test, number) for number in range(count)]
    for place, number in zip(replaced.tolist(), copied.tolist(), strict=False):
        features[place] = bench.reference[number]
        chosen[place] = (bench.train, number)
    return Measured(bench.reference, features, bench.distances(chosen, "", 0))


def measures(bench: Bench, found: Measured) -> dict[str, float]:
    """All measures of a set."""
    near = manifold_scores(found.reference, found.features)
    copies = memorisation(nearest(found.features[:, None], bench.reference), bench.heldout)
    pairs = len(found.distances) * (len(found.distances) - 1)
    values = (
        frechet_distance(found.reference, found.features),
        kernel_distance(found.reference, found.features),
        near.precision,
        near.recall,
        near.density,
        near.coverage,
        inception_score(bench.extractor.logits(found.features)),
        float(found.distances.sum()) / pairs,
        copies.close.value,
    )
    return dict(zip(MEASURES, values, strict=True))


def moved(values: Sequence[float], direction: int) -> bool:
    """Whether values never go against a direction, and arrive elsewhere."""
    steps = direction * np.diff(values)
    return bool((steps >= 0).all() and steps.sum() > 0)


def table(kind: str, rows: Mapping[float, Mapping[str, float]]) -> Table:
    """The levels of a distortion, and whether each measure moved as it should."""
    lines = [
        (f"{level:g}", *(f"{found[name] * factor:.{digits}f}" for name, (digits, factor) in MEASURES.items()))
        for level, found in rows.items()
    ]
    verdicts = []
    for name in MEASURES:
        direction = EXPECTED[kind].get(name)
        if direction is None:
            verdicts.append("")
            continue
        wanted = "rises" if direction > 0 else "falls"
        held = moved([found[name] for found in rows.values()], direction)
        verdicts.append(wanted if held else f"**should have {'risen' if direction > 0 else 'fallen'} at each step**")
    return Table(kind[0].upper() + kind[1:], ("level", *MEASURES), [*lines, ("", *verdicts)])


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--clusters", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.clusters < 5:
        parser.error(f"--clusters must be at least 5 (got {options.clusters})")
    bench = Bench(options.train, options.test, options.cache, options.seed)
    makers: dict[str, Callable[[float], Measured]] = {kind: partial(distorted, bench, kind) for kind in LEVELS}
    makers["dropped modes"] = partial(without_modes, bench, clusters=options.clusters)
    makers["copies"] = partial(with_copies, bench)
    parts = []
    for kind, levels in LEVELS.items():
        sys.stderr.write(f"{kind}\n")
        rows = {level: measures(bench, makers[kind](level)) for level in levels}
        parts.append(table(kind, rows).markdown().replace("## ", "### ", 1))
    text = "\n".join(parts)
    sys.stdout.write(text)
    if options.out is not None:
        make_folder(options.out.parent)
        write_bytes(options.out, text.encode())


if __name__ == "__main__":
    main()
