"""Measures of whole sets of pictures: the estimates against their equations, intervals against simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.clip_scores import caption_score, pair_similarity, set_similarity
from polyp_aug.evaluation.features import Features, FeatureSet
from polyp_aug.evaluation.frechet import frechet_distance, frechet_distances
from polyp_aug.evaluation.image_titles import MEASURES as MEASURES_OF_IMAGES
from polyp_aug.evaluation.inception_score import inception_jackknife, inception_score
from polyp_aug.evaluation.intervals import resampled_counts
from polyp_aug.evaluation.jackknife import BLOCKS, Jackknife, deal_blocks
from polyp_aug.evaluation.kernel_distance import kernel_distance, kernel_distances
from polyp_aug.evaluation.manifold import MEASURES, manifold_jackknife, manifold_scores
from polyp_aug.evaluation.perceptual import PerceptualNetwork, choose_diverse, diversity, pair_distances
from polyp_aug.images import ImageArray
from polyp_aug.training.reconstruction import PerceptualDistance


def drawn(seed: int, count: int, shift: float = 0.0, width: int = 12, scale: float = 1.0) -> Features:
    return np.random.default_rng(seed).standard_normal((count, width)) * scale + shift


def named(name: str, features: Features, per_group: int = 1) -> FeatureSet:
    return FeatureSet(name, features, [f"g{number // per_group:05d}" for number in range(len(features))])


def frechet_reference(first: Features, second: Features) -> float:
    """The equation, with the root of the product as it stands there."""
    (mean_a, a), (mean_b, b) = ((part.mean(axis=0), np.cov(part, rowvar=False)) for part in (first, second))
    root = scipy.linalg.sqrtm(a @ b)
    return float(np.square(mean_a - mean_b).sum() + np.trace(a) + np.trace(b) - 2.0 * np.trace(root).real)


@pytest.mark.parametrize(("first", "second", "width"), [(40, 60, 12), (300, 200, 30), (2000, 900, 3)])
def test_the_frechet_distance_equals_its_equation(first: int, second: int, width: int) -> None:
    mix = np.random.default_rng(9).standard_normal((width, width))
    a, b = drawn(1, first, 0.3, width) @ mix, drawn(2, second, 0.0, width, 1.4)
    assert frechet_distance(a, b) == pytest.approx(frechet_reference(a, b), rel=1e-8)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-8)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-7)


def test_fewer_pictures_than_features_are_no_obstacle() -> None:
    a, b = drawn(1, 15, 0.3, 40), drawn(2, 90, 0.0, 40)
    for first, second in ((a, b), (b, a), (a, drawn(3, 20, 0.1, 40))):
        # Singular values of the product of what spans the covariances.
        parts = [(part - part.mean(axis=0)) / math.sqrt(len(part) - 1) for part in (first, second)]
        nuclear = np.linalg.svd(parts[0] @ parts[1].T, compute_uv=False).sum()
        traces = sum(np.square(part).sum() for part in parts)
        expected = np.square(first.mean(axis=0) - second.mean(axis=0)).sum() + traces - 2.0 * nuclear
        assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-8)


def test_features_that_never_vary_change_nothing() -> None:
    a, b = drawn(1, 100, 0.3), drawn(2, 80)
    padded = [np.hstack([part, np.full((len(part), 4), 2.5)]) for part in (a, b)]
    assert frechet_distance(*padded) == pytest.approx(frechet_distance(a, b), rel=1e-6)


@pytest.mark.parametrize("width", [4, 40])
def test_the_jackknife_leaves_blocks_out_of_either_set(width: int) -> None:
    real, other = named("real", drawn(1, 60, width=width), 2), named("other", drawn(2, 33, 0.5, width))
    found = frechet_distances(real, [other], seed=4)["other"]
    assert found.value == pytest.approx(frechet_distance(real.features, other.features), rel=1e-8)
    blocks = {item.name: deal_blocks(item.groups, seed=4, name=item.name) for item in (real, other)}
    for block in range(BLOCKS):
        left = {item.name: item.features[blocks[item.name] != block] for item in (real, other)}
        assert found.own[block] == pytest.approx(frechet_distance(real.features, left["other"]), rel=1e-6)
        assert found.shared[block] == pytest.approx(frechet_distance(left["real"], other.features), rel=1e-6)


def test_blocks_hold_whole_groups_and_are_alike_in_size() -> None:
    groups = [f"g{number % 23}" for number in range(100)]
    blocks = deal_blocks(groups, seed=1, name="a")
    assert len({(group, int(block)) for group, block in zip(groups, blocks, strict=True)}) == 23
    sizes = np.bincount(blocks, minlength=BLOCKS)
    assert sizes.min() >= 4
    assert sizes.max() <= 15
    assert (deal_blocks(groups, seed=1, name="a") == blocks).all()
    assert (deal_blocks(groups, seed=2, name="a") != blocks).any()
    with pytest.raises(ConfigurationError, match="a: 9 frames or patients, expected at least 10"):
        deal_blocks([f"g{number}" for number in range(9)], seed=0, name="a")


def test_a_jackknife_of_means_is_the_variance_of_the_mean() -> None:
    values = drawn(1, 40, width=1)[:, 0]
    own = np.array([np.delete(values, slice(4 * block, 4 * block + 4)).mean() for block in range(BLOCKS)])
    means = values.reshape(BLOCKS, 4).mean(axis=1)
    found = Jackknife(values.mean(), own, np.empty(0)).interval()
    half = 2.2621572 * means.std(ddof=1) / math.sqrt(BLOCKS)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))
    cut = Jackknife(0.9, own, np.empty(0)).interval(0.89, 0.91)
    assert (cut.low, cut.value, cut.high) == (0.89, 0.9, 0.91)


def test_intervals_of_the_frechet_distance_cover_its_mean() -> None:
    found, values = [], []
    for trial in range(80):
        real, other = named("real", drawn(trial, 90, width=4)), named("a", drawn(trial + 500, 70, 0.4, 4))
        found.append(frechet_distances(real, [other], seed=trial)["a"].interval())
        values.append(found[-1].value)
    covered = sum(item.low <= np.mean(values) <= item.high for item in found)
    assert 70 <= covered <= 80
    widths = [item.high - item.low for item in found]
    # Neither far too wide: about 2 t times the true spread.
    assert 0.7 < np.mean(widths) / (2 * 2.262 * np.std(values)) < 1.4


def test_a_bootstrap_would_not_hold_the_frechet_distance_itself() -> None:
    """The reason for the jackknife: copies raise the distance above the estimate in almost every draw."""
    a, b = drawn(1, 60, width=20), drawn(2, 60, width=20)
    value = frechet_distance(a, b)
    generator = np.random.default_rng(0)
    draws = [frechet_distance(a[generator.integers(0, 60, 60)], b[generator.integers(0, 60, 60)]) for _ in range(60)]
    assert np.quantile(draws, 0.05) > value
    interval = frechet_distances(named("real", a), [named("b", b)])["b"].interval()
    assert interval.low < value < interval.high


def test_a_paired_difference_is_narrower_than_independent_ones() -> None:
    real = named("real", drawn(1, 40, width=4))
    sets = [named("near", drawn(2, 400, 0.5, 4)), named("far", drawn(3, 400, 0.6, 4))]
    found = frechet_distances(real, sets)
    difference = found["near"].minus(found["far"])
    widths = [item.interval().high - item.interval().low for item in found.values()]
    assert difference.high - difference.low < 0.7 * math.hypot(*widths)
    assert difference.value == pytest.approx(found["near"].value - found["far"].value)


def test_the_inception_score_equals_its_equation() -> None:
    logits = drawn(1, 50, width=7, scale=3.0)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    mean = probabilities.mean(axis=0)
    divergences = (probabilities * np.log(probabilities / mean)).sum(axis=1)
    assert inception_score(logits) == pytest.approx(math.exp(divergences.mean()), rel=1e-12)
    found = inception_jackknife(logits, [f"g{number}" for number in range(50)], seed=3, name="a")
    assert found.value == pytest.approx(inception_score(logits))
    blocks = deal_blocks([f"g{number}" for number in range(50)], seed=3, name="a")
    for block in range(BLOCKS):
        assert found.own[block] == pytest.approx(inception_score(logits[blocks != block]), rel=1e-9)


@pytest.mark.parametrize(
    ("logits", "score"), [(1e4 * np.eye(6), 6.0), (np.zeros((6, 9)), 1.0), (1e4 * np.ones((1, 3)), 1.0)]
)
def test_inception_scores_that_are_known(logits: Features, score: float) -> None:
    assert inception_score(logits) == pytest.approx(score, rel=1e-9)


def balls(features: Features, nearest: int) -> Features:
    """Radius of each ball: the distance to the k-th nearest other item."""
    found = np.linalg.norm(features[:, None] - features[None], axis=2)
    return np.sort(found, axis=1)[:, nearest]


def manifold_reference(real: Features, other: Features, nearest: int) -> dict[str, float]:
    """The equations, item by item."""
    inside, holds = [], []
    real_radii, other_radii = balls(real, nearest), balls(other, nearest)
    around = [int((np.linalg.norm(real - item, axis=1) <= real_radii).sum()) for item in other]
    for x, r in zip(real, real_radii, strict=True):
        distances = np.linalg.norm(other - x, axis=1)
        inside.append(bool((distances <= other_radii).any()))
        holds.append(bool((distances <= r).any()))
    return {
        "precision": float(np.mean(np.array(around) > 0)),
        "recall": float(np.mean(inside)),
        "density": float(np.mean(around)) / nearest,
        "coverage": float(np.mean(holds)),
    }


@pytest.mark.parametrize(("first", "second", "nearest"), [(30, 40, 5), (600, 530, 5), (25, 12, 3)])
def test_manifold_measures_equal_their_equations(first: int, second: int, nearest: int) -> None:
    real, other = drawn(1, first, width=3), drawn(2, second, 0.7, 3)
    found = manifold_scores(real, other, nearest=nearest)
    expected = manifold_reference(real, other, nearest)
    assert {name: getattr(found, name) for name in MEASURES} == pytest.approx(expected, abs=1e-12)
    assert 0.0 < found.precision < 1.0


@pytest.mark.parametrize(("first", "second"), [(60, 47), (30, 560), (550, 20)])
def test_manifold_measures_without_blocks_are_measured_anew(first: int, second: int) -> None:
    real, other = named("real", drawn(1, first, width=3), 2), named("other", drawn(2, second, 0.7, 3))
    found = manifold_jackknife(real, other, seed=6)
    blocks = {item.name: deal_blocks(item.groups, seed=6, name=item.name) for item in (real, other)}
    whole = manifold_reference(real.features, other.features, 5)
    for block in range(BLOCKS):
        left = {item.name: item.features[blocks[item.name] != block] for item in (real, other)}
        own = manifold_reference(real.features, left["other"], 5)
        shared = manifold_reference(left["real"], other.features, 5)
        for name in MEASURES:
            assert found[name].value == pytest.approx(whole[name])
            assert found[name].own[block] == pytest.approx(own[name])
            assert found[name].shared[block] == pytest.approx(shared[name])


def test_copies_are_perfectly_precise_and_few_modes_have_little_recall() -> None:
    real = drawn(1, 200, width=4)
    copies = manifold_scores(real, real.copy())
    assert (copies.precision, copies.recall, copies.coverage) == (1.0, 1.0, 1.0)
    narrow = manifold_scores(real, drawn(2, 200, width=4, scale=0.2))
    assert narrow.precision > 0.95
    assert narrow.recall < 0.2
    assert narrow.density > 1.2


def test_clip_scores_by_hand() -> None:
    pictures = named("a", drawn(1, 20, width=6))
    captions = drawn(2, 20, width=6)
    cosines = [
        float(x @ y / np.linalg.norm(x) / np.linalg.norm(y)) for x, y in zip(pictures.features, captions, strict=True)
    ]
    assert caption_score(pictures, captions).value == pytest.approx(100 * np.mean(np.maximum(cosines, 0)))
    assert pair_similarity(pictures, captions).value == pytest.approx(100 * np.mean(cosines))
    real = named("real", drawn(3, 30, 0.5, 6), 2)
    every = [float(x @ y / np.linalg.norm(x) / np.linalg.norm(y)) for x in pictures.features for y in real.features]
    found = set_similarity(real, pictures, seed=2, draws=1)
    assert found.value == pytest.approx(100 * np.mean(every))
    counts = [
        np.repeat(resampled_counts(groups, seed=2, name=name, draws=1)[0], size)
        for name, groups, size in (("a", 20, 1), ("real", 15, 2))
    ]
    weights = np.outer(*counts).ravel()
    assert found.low == pytest.approx(100 * np.average(every, weights=weights))


def clouds(seed: int, size: int = 224) -> ImageArray:
    small = torch.from_numpy(np.random.default_rng(seed).uniform(0, 255, (1, 3, 8, 8)))
    large = torch.nn.functional.interpolate(small, size=(size, size), mode="bicubic")
    return large[0].permute(1, 2, 0).clamp(0, 255).numpy().astype(np.uint8)


def test_perceptual_vectors_have_the_distances_of_the_perceptual_loss() -> None:
    pictures = [clouds(seed) for seed in range(3)]
    network, loss = PerceptualNetwork(), PerceptualDistance()
    found = pair_distances(network.vectors(pictures))
    tensors = [torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1.0 for picture in pictures]
    for i in range(3):
        for j in range(3):
            expected = 0.0 if i == j else float(loss(tensors[i], tensors[j]))
            assert found[i, j] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_diversity_is_the_mean_over_pairs_of_different_groups() -> None:
    groups = [f"g{number // 3}" for number in range(60)]
    chosen = choose_diverse(groups, seed=1, name="a")
    assert len(chosen) == 20
    assert len({groups[number] for number in chosen}) == 20
    assert len(choose_diverse([str(number) for number in range(500)], seed=1, name="a")) == 150
    distances = pair_distances(drawn(1, 30).astype(np.float32))
    found = diversity(distances, seed=0, name="a")
    assert found.value == pytest.approx(distances[~np.eye(30, dtype=bool)].mean())
    assert found.low < found.value < found.high
    # Twice the variance of a coordinate, for every coordinate.
    assert found.value == pytest.approx(2 * 12, rel=0.2)


def test_the_kernel_distance_is_the_same_in_blocks_of_groups() -> None:
    sets = []
    for name, count, seed in (("real", 1400, 1), ("other", 2600, 2)):
        # One group that is larger than a block, others of three, whose items don't stand together.
        groups = ["large"] * 1200 + [f"g{number % ((count - 1200) // 3):04d}" for number in range(count - 1200)]
        sets.append(FeatureSet(name, drawn(seed, count, 0.1 * seed, 3), groups))
    draws, numbers = [], []
    for item in sets:
        names = sorted(set(item.groups))
        counts = resampled_counts(len(names), seed=1, name=item.name, draws=1)[0]
        numbers.append(np.array([names.index(group) for group in item.groups]))
        draws.append(counts[numbers[-1]])

    def mean(first: int, second: int) -> float:
        values = (sets[first].features @ sets[second].features.T / 3 + 1.0) ** 3
        weights = np.outer(draws[first], draws[second])
        if first == second:
            same = numbers[first][:, None] == numbers[first][None]
            weights = np.where(same, draws[first][:, None], weights)
            np.fill_diagonal(weights, 0.0)
        return float((values * weights).sum() / weights.sum())

    found = kernel_distances(sets[0], [sets[1]], seed=1, draws=1).distances["other"]
    assert found.low == pytest.approx(mean(0, 0) + mean(1, 1) - 2.0 * mean(0, 1), rel=1e-9)
    assert found.value == pytest.approx(kernel_distance(sets[0].features, sets[1].features), rel=1e-9)


def test_only_figures_of_inception_are_called_fid_and_kid() -> None:
    heads = {label: [item.head(label) for item in MEASURES_OF_IMAGES] for label in ("Inception-v3", "DINOv2")}
    assert heads["Inception-v3"][:3] == ["FID ↓", "KID × 1000 ↓", "IS ↑"]
    assert heads["DINOv2"][:2] == ["Fréchet distance (DINOv2) ↓", "Kernel distance × 1000 (DINOv2) ↓"]
    assert heads["DINOv2"][2] == "IS (DINOv2's classes) ↑"
    keys = [item.key for item in MEASURES_OF_IMAGES]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance, manifold_scores])
def test_features_that_cannot_be_compared_are_named(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(ConfigurationError, match=r"of (3 and 12|12 and 3) numbers"):
        measure(drawn(1, 20, width=3), drawn(2, 20))
    with pytest.raises(ConfigurationError, match="not finite"):
        measure(drawn(1, 20) * np.nan, drawn(2, 20))
    with pytest.raises(ConfigurationError, match="expected at least 2 rows"):
        measure(drawn(1, 1), drawn(2, 20))


def test_neighbourhoods_need_more_pictures_than_neighbours() -> None:
    with pytest.raises(ConfigurationError, match="5 pictures, expected more than 5 for neighbourhoods"):
        manifold_scores(drawn(1, 5), drawn(2, 20))
    with pytest.raises(ConfigurationError, match=r"logits of shape \(0, 3\)"):
        inception_score(np.empty((0, 3)))
