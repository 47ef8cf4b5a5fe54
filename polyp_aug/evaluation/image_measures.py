"""All measures of sets of pictures beside a real one, in the features of one network, as plain JSON types."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from polyp_aug.evaluation.clip_scores import caption_score, pair_similarity, set_similarity
from polyp_aug.evaluation.feature_cache import FeatureCache
from polyp_aug.evaluation.features import Classifier, Features, FeatureSet, PictureExtractor, TextEncoder
from polyp_aug.evaluation.frechet import frechet_distances
from polyp_aug.evaluation.inception_score import inception_jackknife
from polyp_aug.evaluation.intervals import Interval
from polyp_aug.evaluation.kernel_distance import kernel_distances
from polyp_aug.evaluation.manifold import MEASURES, manifold_jackknife
from polyp_aug.evaluation.neighbours import Neighbours, memorisation, nearest
from polyp_aug.evaluation.perceptual import SIZE, PerceptualNetwork, choose_diverse, diversity, pair_distances
from polyp_aug.evaluation.picture_sets import Picture, PictureSet, read_pictures
from polyp_aug.evaluation.polyp_tables import TRAIN

#: Lowest and highest values of measures of neighbourhoods.
_RANGES = {name: (0.0, np.inf if name == "density" else 1.0) for name in MEASURES}

#: Measure → set → interval, as it stands in a report.
Measures = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured in the features of one network.

    Attributes:
        report: JSON types: `name`, `label`, `revision` and `size` of the network, `features` (their number), `measures`
            (measure → set → interval), `differences` (measure → rows of `first`, `second` and an interval),
            `memorisation` (set → quantiles) and `warnings`.
        neighbours: of each set but the floor, the real one included: the nearest training pictures.
    """

    report: dict[str, Any]
    neighbours: dict[str, Neighbours]


def measure(
    real: PictureSet,
    others: Sequence[PictureSet],
    extractor: PictureExtractor,
    cache: FeatureCache,
    *,
    train: PictureSet | None = None,
    seed: int = 0,
    observer: Callable[[int], None] | None = None,
) -> Measured:
    """Measure sets beside a real one.

    Args:
        real: held-out real pictures.
        others: what is compared with them; their names differ.
        extractor: whose features are compared.
        cache: of features.
        train: all real pictures that the generators have seen, for the check for copies; `others` may hold some of them
            as the floor, under the name `TRAIN`.
        seed: of all intervals.
        observer: called with how many pictures of these sets have been looked at.

    Raises:
        ConfigurationError: a set is too small.
        ImageError: a frame can't be read.
        StorageError: features can't be stored.
    """
    sets = {item.name: item for item in (real, *others)}
    features, seen = {}, 0
    for name, item in sets.items():
        features[name] = FeatureSet(name, _features(item, extractor, cache, seen, observer), item.groups)
        seen += len(item.pictures)
    compared = [features[item.name] for item in others]
    measures, differences = _distances(features[real.name], compared, seed)
    for other in compared:
        for name, found in manifold_jackknife(features[real.name], other, seed=seed).items():
            measures[name][other.name] = found.interval(*_RANGES[name]).to_dict()
    if isinstance(extractor, Classifier):
        measures["score"] = {
            item.name: inception_jackknife(extractor.logits(item.features), item.groups, seed=seed, name=item.name)
            .interval(1.0)
            .to_dict()
            for item in (features[real.name], *compared)
        }
    warnings = _warnings(real, others, features[real.name].features.shape[1], extractor.label)
    if isinstance(extractor, TextEncoder):
        measures |= _with_captions([real, *others], features, extractor, cache, seed, warnings)
        measures |= _likeness(real, others, features, seed)
    report: dict[str, Any] = {
        "name": extractor.name,
        "label": extractor.label,
        "revision": extractor.revision,
        "size": extractor.size,
        "features": features[real.name].features.shape[1],
        "measures": measures,
        "differences": differences,
        "memorisation": {},
        "warnings": warnings,
    }
    if train is None:
        return Measured(report, {})
    references = _features(train, extractor, cache, seen, observer)
    found_near = {name: nearest(item.features[:, None], references) for name, item in features.items() if name != TRAIN}
    judged = {name: memorisation(near, found_near[real.name]) for name, near in found_near.items() if name != real.name}
    report["memorisation"] = {name: copies.to_dict() for name, copies in judged.items()}
    measures["close"] = {name: copies.close.to_dict() for name, copies in judged.items()}
    return Measured(report, found_near)


def measure_diversity(
    sets: Sequence[PictureSet], network: PerceptualNetwork, cache: FeatureCache, *, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Name of each set and its diversity: the mean perceptual distance of two of its pictures.

    Raises:
        ConfigurationError: a set is too small.
        ImageError: a frame can't be read.
        StorageError: distances can't be stored.
    """
    found = {}
    for item in sets:
        numbers = choose_diverse(item.groups, seed, item.name)
        pictures = [item.pictures[number] for number in numbers]
        key = hashlib.sha256(" ".join(item.keys[number] for number in numbers).encode()).hexdigest()[:32]
        distances = cache.array(
            f"perceptual-{network.revision}",
            key,
            partial(_pair_distances, network, pictures),
        )
        found[item.name] = diversity(distances, seed=seed, name=item.name).to_dict()
    return found


def _pair_distances(network: PerceptualNetwork, pictures: Sequence[Picture]) -> Features:
    return pair_distances(network.vectors(read_pictures(pictures, SIZE)))


def _features(
    item: PictureSet,
    extractor: PictureExtractor,
    cache: FeatureCache,
    seen: int,
    observer: Callable[[int], None] | None,
) -> Features:
    return cache.rows(
        f"{extractor.label}-{extractor.revision}",
        item.keys,
        lambda numbers: extractor.extract(read_pictures([item.pictures[k] for k in numbers], extractor.size)),
        None if observer is None else lambda done: observer(seen + done),
    )


def _distances(
    real: FeatureSet, others: Sequence[FeatureSet], seed: int
) -> tuple[Measures, dict[str, list[dict[str, Any]]]]:
    frechet = frechet_distances(real, others, seed=seed)
    kernel = kernel_distances(real, others, seed=seed)
    measures: Measures = {
        "frechet_distance": {name: found.interval(0.0).to_dict() for name, found in frechet.items()},
        "kernel_distance": {name: found.to_dict() for name, found in kernel.distances.items()},
        **{name: {} for name in MEASURES},
    }
    pairs = combinations(frechet, 2)
    return measures, {
        "frechet_distance": [_row(a, b, frechet[a].minus(frechet[b])) for a, b in pairs],
        "kernel_distance": [_row(a, b, found) for (a, b), found in kernel.differences.items()],
    }


def _row(first: str, second: str, found: Interval) -> dict[str, Any]:
    return {"first": first, "second": second, **found.to_dict()}


def _with_captions(
    sets: Sequence[PictureSet],
    features: Mapping[str, FeatureSet],
    extractor: TextEncoder,
    cache: FeatureCache,
    seed: int,
    warnings: list[str],
) -> Measures:
    """CLIP score of the sets that have captions; frames without are left out, and counted in a warning."""
    found = {}
    for item in sets:
        numbers = [number for number, picture in enumerate(item.pictures) if picture.caption]
        if not numbers:
            continue
        texts = [item.pictures[number].caption for number in numbers]
        embedded = cache.rows(
            f"{extractor.label}-{extractor.revision}-texts",
            [hashlib.sha256(text.encode()).hexdigest() for text in texts],
            partial(_embedded, extractor, texts),
        )
        whole = features[item.name]
        pictures = FeatureSet(item.name, whole.features[numbers], [whole.groups[number] for number in numbers])
        found[item.name] = caption_score(pictures, embedded, seed=seed).to_dict()
        if len(numbers) < len(item.pictures):
            warnings.append(f"{item.name}: {len(item.pictures) - len(numbers)} pictures have no caption")
        if cut := extractor.cut_off(texts):
            warnings.append(f"{item.name}: {cut} of {len(texts)} captions are longer than {extractor.label} reads")
    return {"caption_score": found} if found else {}


def _embedded(extractor: TextEncoder, texts: Sequence[str], numbers: Sequence[int]) -> Features:
    return extractor.embed([texts[number] for number in numbers])


def _likeness(
    real: PictureSet, others: Sequence[PictureSet], features: Mapping[str, FeatureSet], seed: int
) -> Measures:
    """CLIP image similarity: of all pairs, and of whole frames that were made anew from real ones."""
    every = {
        item.name: set_similarity(features[real.name], features[item.name], seed=seed).to_dict() for item in others
    }
    places = {picture.name: number for number, picture in enumerate(real.pictures)}
    paired = {}
    for item in others:
        partners = [places.get(picture.background, -1) for picture in item.pictures]
        if len(places) == len(real.pictures) and partners and min(partners) >= 0:
            found = pair_similarity(features[item.name], features[real.name].features[partners], seed=seed)
            paired[item.name] = found.to_dict()
    return {"set_similarity": every} | ({"pair_similarity": paired} if paired else {})


def _warnings(real: PictureSet, others: Sequence[PictureSet], width: int, label: str) -> list[str]:
    sizes = {item.name: len(item.pictures) for item in (real, *others)}
    small = [f"{name} {count}" for name, count in sizes.items() if count <= width]
    found = []
    if small:
        found.append(
            f"no more pictures than the {width} features of {label} ({', '.join(small)}): covariances are singular, "
            "and most of a Fréchet distance is the bias of few pictures; use the kernel distance"
        )
    if len({len(item.pictures) for item in others}) > 1:
        counts = ", ".join(f"{item.name} {len(item.pictures)}" for item in others)
        found.append(
            f"sets of different numbers ({counts}): Fréchet distances, IS and neighbourhoods can't be compared between "
            "them; take as many of each (--count)"
        )
    return found
