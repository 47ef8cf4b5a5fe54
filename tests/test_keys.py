"""Randomness from keys."""

from __future__ import annotations

import subprocess
import sys

import pytest

from polyp_aug.keys import Key


def test_the_same_key_gives_the_same_numbers() -> None:
    key = Key(3, "frame.jpg", epoch=1, draw=2)
    assert key.generator("a").random(4).tolist() == key.generator("a").random(4).tolist()
    assert key.torch_seed("a") == Key(**key.to_dict()).torch_seed("a")


@pytest.mark.parametrize(
    ("other", "purpose"),
    [
        (Key(4, "frame.jpg"), "a"),
        (Key(3, "frame2.jpg"), "a"),
        (Key(3, "frame.jpg", epoch=1), "a"),
        (Key(3, "frame.jpg", draw=1), "a"),
        (Key(3, "frame.jpg"), "b"),
        (Key(3, "frame.jpg").child(0), "a"),
    ],
)
def test_every_part_of_a_key_matters(other: Key, purpose: str) -> None:
    assert Key(3, "frame.jpg").digest("a") != other.digest(purpose)


def test_children_of_different_draws_differ() -> None:
    digests = {Key(1, "x", draw=draw).child(number).digest("p") for draw in range(20) for number in range(20)}
    assert len(digests) == 400


def test_torch_seeds_fit_into_63_bits() -> None:
    seeds = [Key(seed, "x").torch_seed("p") for seed in range(200)]
    assert len(set(seeds)) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_numbers_do_not_depend_on_the_process() -> None:
    code = "from polyp_aug.keys import Key; print(Key(7, 'é/x.png', 1, 2).generator('p').integers(10**9))"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] == f"{Key(7, 'é/x.png', 1, 2).generator('p').integers(10**9)}\n"
