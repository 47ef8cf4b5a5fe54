"""Policies: what a file may say, what it must not, and what a polyp's scores make of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from polyp_aug.curation.limits import Limit, family_limits
from polyp_aug.curation.mask_agreement import default_agreement
from polyp_aug.curation.origins import Origins, reference_sources, source_of
from polyp_aug.curation.polyp_quality import WORDS
from polyp_aug.curation.runs.detectors import Referee, best_box
from polyp_aug.curation.runs.helpers import Helpers
from polyp_aug.curation.runs.policy import (
    SCORES,
    DistinctRule,
    HardestRule,
    Policy,
    RefineRule,
    ScoreRule,
    parse_policy,
    read_policy,
)
from polyp_aug.curation.runs.verdicts import Verdict, frames_reasons, judge_polyp, not_hardest
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.recall import Detections
from polyp_aug.scene import Source


def test_a_policy_is_read(tmp_path: Path) -> None:
    text = """
seen: accept
rules:
  - refine: difference
  - {score: confidence, at_least: 0.2}
  - {score: sharpness, at_least: -2, at_most: 3, action: note}
  - score: glare
  - score: agreement
  - hardest: 0.5
  - distinct: {hash: 12, features: 0.1}
  - distinct: {hash: calibrated}
"""
    (tmp_path / "policy.yaml").write_text(text)
    policy = read_policy(tmp_path / "policy.yaml")
    bits = family_limits("near_copies")["polyp_hash"].at_most
    assert bits is not None
    assert policy.rules == (
        RefineRule("difference"),
        ScoreRule("confidence", Limit(at_least=0.2)),
        ScoreRule("sharpness", Limit(-2, 3), "note"),
        ScoreRule("glare", family_limits("polyp_quality")["glare"]),
        ScoreRule("agreement", Limit(at_least=default_agreement().threshold)),
        HardestRule(0.5),
        DistinctRule(12, 0.1),
        DistinctRule(int(bits), None),
    )
    assert policy.scores == {"confidence", "sharpness", "glare", "agreement", "hardness"}
    assert (policy.refiner, policy.seen, policy.needs_features) == ("difference", "accept", True)
    # What is recorded is a policy again, with every limit in it.
    assert parse_policy(policy.to_dict()) == policy


def test_the_packages_policy_needs_nothing() -> None:
    policy = read_policy()
    assert set(WORDS) < policy.scores
    assert not policy.needs_features
    Helpers().check(policy)


@pytest.mark.parametrize("score", [score for score in SCORES if score != "hardness"])
def test_every_score_but_hardness_has_a_limit_of_its_own(score: str) -> None:
    rules: list[dict[str, Any]] = [{"score": score}]
    if score == "refined_overlap":
        rules.append({"refine": "sam"})
    rule = parse_policy({"rules": rules}).score_rules[0]
    assert rule.limit != Limit()


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (None, "a policy is a mapping with a list 'rules'"),
        ({"rules": 3}, "a policy is a mapping with a list 'rules'"),
        ({"rules": [], "sen": "accept"}, "the policy has sen"),
        ({"rules": [], "seen": "maybe"}, "'seen' is 'maybe', expected one of refuse, accept"),
        ({"rules": ["sharpness"]}, "rule 1: has to name one of score, refine, hardest, distinct"),
        ({"rules": [{"score": "glare", "hardest": 1}]}, "rule 1: has to name one of"),
        ({"rules": [{"score": "glare"}, {"score": "beauty"}]}, "rule 2: 'score' is 'beauty'"),
        ({"rules": [{"score": "glare", "most": 3}]}, "a rule of a score has most"),
        ({"rules": [{"score": "glare", "at_most": "x"}]}, "a limit is 'x'"),
        ({"rules": [{"score": "glare", "action": "delete"}]}, "'action' is 'delete'"),
        ({"rules": [{"score": "hardness"}]}, "hardness has no limit of its own"),
        ({"rules": [{"score": "refined_overlap"}]}, "needs a rule 'refine'"),
        ({"rules": [{"refine": "sam"}, {"refine": "difference"}]}, "refined once"),
        ({"rules": [{"refine": "eye"}]}, "'refine' is 'eye'"),
        ({"rules": [{"hardest": 0.5}]}, "a referee must confirm it"),
        ({"rules": [{"score": "confidence", "action": "note"}, {"hardest": 0.5}]}, "a referee must confirm it"),
        ({"rules": [{"hardest": 0}]}, "'hardest' is 0"),
        ({"rules": [{"hardest": True}]}, "'hardest' is True"),
        ({"rules": [{"distinct": {}}]}, "'distinct' is {}"),
        ({"rules": [{"distinct": {"hash": -1}}]}, "has the limit -1"),
        ({"rules": [{"distinct": {"pixels": 0}}]}, "'distinct' has pixels"),
    ],
)
def test_what_is_wrong_with_a_policy_is_said(document: Any, says: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigurationError) as error:
        read_policy(tmp_path / "p.yaml")
    assert says in str(error.value)
    assert "p.yaml" in str(error.value)


def test_rules_get_what_they_need_and_nothing_else() -> None:
    def none(paths: Sequence[Path]) -> list[Detections]:
        raise AssertionError(paths)

    referee = Referee("one", none, Origins([]), {})
    confirmed = parse_policy({"rules": [{"score": "confidence"}]})
    with pytest.raises(ConfigurationError, match=r"needs a referee \(the scores confidence and overlap\)"):
        Helpers().check(confirmed)
    Helpers(referees=(referee,)).check(confirmed)
    with pytest.raises(ConfigurationError, match="a referee is given, but no rule of the policy needs it"):
        Helpers(referees=(referee,)).check(Policy(()))
    with pytest.raises(ConfigurationError, match="needs the training set"):
        Helpers().check(parse_policy({"rules": [{"score": "training_distance"}]}))
    with pytest.raises(ConfigurationError, match="needs a SAM model"):
        Helpers().check(Policy((RefineRule("sam"),)))
    with pytest.raises(ConfigurationError, match="needs a feature extractor"):
        Helpers().check(Policy((DistinctRule(None, 0.1),)))


def test_scores_make_verdicts() -> None:
    policy = parse_policy(
        {
            "rules": [
                {"score": "sharpness", "at_least": -1, "at_most": 1},
                {"score": "glare", "at_most": 0.2, "action": "note"},
                {"score": "see_through", "at_most": 0.1},
                {"score": "overlap", "at_least": 0.5},
            ]
        }
    )
    scores = {"sharpness": 0.0, "glare": 0.1, "see_through": 0.0, "overlap": 0.9}
    assert judge_polyp(policy, scores) == Verdict({}, {})
    # What can't be measured passes.
    assert judge_polyp(policy, scores | {"see_through": None}) == Verdict({}, {})
    bad = judge_polyp(policy, scores | {"sharpness": -2.0, "glare": 0.5})
    assert bad.reasons == {"sharpness": "sharpness is -2, below -1 (more blurred than its frame)"}
    assert bad.notes == {"glare": "glare is 0.5, above 0.2 (over-lit)"}
    assert judge_polyp(policy, scores | {"sharpness": 2.0}).reasons["sharpness"].endswith("(sharper than its frame)")
    refused = judge_polyp(policy, scores | {"overlap": None, "refused": "every referee was trained on group p1"})
    assert refused.reasons == {"overlap": "overlap can't be told: every referee was trained on group p1"}


def test_a_frame_leaves_as_a_whole() -> None:
    good, bad = Verdict({}, {}), Verdict({"glare": "glare is 1"}, {})
    assert frames_reasons([good, good]) == [{}, {}]
    assert frames_reasons([good, bad]) == [{"frame": "its frame leaves: polyp 2 of it was rejected"}, bad.reasons]
    assert frames_reasons([]) == []


def test_the_hardest_frames_are_kept() -> None:
    frames = [[{"hardness": value}] for value in (0.1, 0.9, 0.5, 0.9)] + [[{"hardness": 0.2}, {"hardness": 0.8}]]
    kept = [number for number, reason in enumerate(not_hardest(HardestRule(0.5), frames)) if reason is None]
    assert kept == [1, 3, 4]
    assert not_hardest(HardestRule(1), frames) == [None] * 5
    assert not_hardest(HardestRule(0.01), frames)[1] is None
    assert "hardness is 0.1, not among the hardest 50 %" in str(not_hardest(HardestRule(0.5), frames)[0]).replace(
        "%", " %"
    )


def test_the_best_box_has_score_and_overlap() -> None:
    boxes = np.array([(0, 0, 10, 10), (0, 0, 10, 4), (50, 50, 10, 10)], np.float64)
    found = best_box(Detections(boxes, np.array([0.3, 0.5, 0.9])), (0, 0, 10, 10))
    assert found == (0.3, 1.0)
    assert best_box(Detections(boxes[2:], np.array([0.9])), (0, 0, 10, 10)) == (0.0, 0.0)
    assert best_box(Detections(boxes[:0], np.empty(0)), (0, 0, 10, 10)) == (0.0, 0.0)


def test_origins_share_files_and_groups_of_one_data_set() -> None:
    known = Origins([Source("a.png", "kvasir", group="p1"), Source("b.png")])
    assert known.shared(Source("c.png", "kvasir", group="p1")) == "group p1"
    assert known.shared(Source("c.png", "sun", group="p1")) is None
    assert known.shared(Source("c.png", group="p1")) == "group p1"
    assert known.shared(Source("a.png", "kvasir")) == "file a.png"
    assert known.shared(Source("a.png", "sun")) is None
    assert known.shared(Source("b.png", "sun")) == "file b.png"
    assert known.shared(Source("d.png")) is None


def test_references_are_found_wherever_provenance_names_them() -> None:
    source = {"file": "polyp/x.jpg", "dataset": "Kvasir-SEG", "group": "x", "score": 3}
    provenance = {
        "reference": "polyp/y.jpg#7",
        "prompt": "Polyp#3",
        "place": {"database_reference": "z.png#1", "database_source": {"file": "z.png", "split": "test"}},
        "details": {"start": {"reference": "polyp/x.jpg#2", "reference_source": source}},
    }
    assert reference_sources(provenance) == (
        Source("polyp/x.jpg", "Kvasir-SEG", group="x"),
        Source("polyp/y.jpg"),
        Source("z.png", split="test"),
    )
    assert reference_sources({"synthesizer": "polyp_gen", "details": {}}) == ()
    assert source_of({"file": "a", "width": 3}) == Source("a")
