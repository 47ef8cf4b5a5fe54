"""The perceptual hash: copies are near, other pictures are far."""

from __future__ import annotations

import cv2
import numpy as np
from conftest import Phantoms
from hypothesis import given
from hypothesis import strategies as st

from polyp_aug.coco import read_coco, resolve_image
from polyp_aug.curation.limits import family_limits
from polyp_aug.curation.perceptual_hash import BITS, hamming, nearest_hash, perceptual_hash
from polyp_aug.evaluation.crops import orientations
from polyp_aug.images import read_image


def test_copies_are_near_and_other_frames_are_far(phantoms: Phantoms) -> None:
    dataset = read_coco(phantoms.references)
    frames = [read_image(resolve_image(dataset.image_root, image.file_name)) for image in dataset.images]
    hashes = np.stack([perceptual_hash(frame) for frame in frames])
    limit = family_limits("near_copies")["frame_hash"].at_most
    assert limit is not None
    for number, frame in enumerate(frames):
        small = cv2.resize(frame, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
        _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 70])
        copy = np.clip(cv2.imdecode(data, cv2.IMREAD_COLOR) * 1.1, 0, 255).astype(np.uint8)
        distances = hamming(perceptual_hash(copy)[None], hashes)[0]
        assert distances.argmin() == number
        assert distances[number] <= limit
        assert np.delete(distances, number).min() > limit


def test_a_turned_copy_is_found_among_the_orientations(phantoms: Phantoms) -> None:
    dataset = read_coco(phantoms.references)
    frame = read_image(resolve_image(dataset.image_root, dataset.images[0].file_name))
    turned = np.ascontiguousarray(np.rot90(frame[:, ::-1], 3))
    views = np.stack([perceptual_hash(view) for view in orientations(turned)])
    assert hamming(perceptual_hash(turned)[None], perceptual_hash(frame)[None])[0, 0] > 40
    assert nearest_hash(views[None], perceptual_hash(frame)[None])[0].tolist() == [0]


def test_a_picture_without_anything_has_a_hash() -> None:
    assert perceptual_hash(np.zeros((5, 7, 3), np.uint8)).shape == (BITS // 8,)


@given(st.integers(1, 12), st.integers(1, 3), st.integers(1, 9), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_nearest_hash_is_that_of_all_pairs(queries: int, views: int, others: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Few different bits, so that equal distances come up.
    first = rng.integers(0, 4, (queries, views, 32), dtype=np.uint8)
    second = rng.integers(0, 4, (others, 32), dtype=np.uint8)
    apart = np.array(
        [[min(int(np.unpackbits(view ^ other).sum()) for view in query) for other in second] for query in first]
    )
    distances, numbers = nearest_hash(first, second, rows)
    assert distances.tolist() == apart.min(axis=1).tolist()
    assert numbers.tolist() == apart.argmin(axis=1).tolist()
