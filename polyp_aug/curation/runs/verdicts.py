"""From scores to verdicts: which polyps a policy rejects, and which frames leave with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polyp_aug.curation.polyp_quality import WORDS
from polyp_aug.curation.runs.measuring import Measured
from polyp_aug.curation.runs.policy import CONFIDENCE, HARDNESS, OVERLAP, HardestRule, Policy, ScoreRule


@dataclass(frozen=True)
class Verdict:
    """What a policy says of one polyp.

    Attributes:
        reasons: rule → why it rejects the polyp; empty where it passes.
        notes: rule → what is only noted.
    """

    reasons: Mapping[str, str]
    notes: Mapping[str, str]


def judge_polyp(policy: Policy, measured: Measured) -> Verdict:
    """The verdict of a policy's score rules. A score that could not be measured passes.

    Args:
        policy: the policy.
        measured: all scores of the polyp; with `refused`, why no referee judged it.
    """
    reasons: dict[str, str] = {}
    notes: dict[str, str] = {}
    for rule in policy.score_rules:
        broken = _broken(rule, measured)
        if broken is not None:
            (reasons if rule.action == "reject" else notes)[rule.score] = broken
    return Verdict(reasons, notes)


def frames_reasons(verdicts: Sequence[Verdict]) -> list[Mapping[str, str]]:
    """Why each polyp of a frame leaves with it, its own reasons or that of another; all empty where the frame stays.

    A frame leaves as a whole: its pixels would still show the polyp that was rejected.
    """
    rejected = [number for number, verdict in enumerate(verdicts, start=1) if verdict.reasons]
    if not rejected:
        return [{} for _ in verdicts]
    others = {"frame": f"its frame leaves: polyp {rejected[0]} of it was rejected"}
    return [verdict.reasons or others for verdict in verdicts]


def not_hardest(rule: HardestRule, frames: Sequence[Sequence[Measured]]) -> list[str | None]:
    """Why each frame is not among the hardest, or None. A frame is as hard as its hardest polyp.

    Of frames that are equally hard the first are kept.

    Args:
        rule: which share is kept, rounded up to whole frames.
        frames: scores of the polyps of each frame, in the order of the samples.
    """
    values = [max((float(polyp[HARDNESS]) for polyp in polyps), default=0.0) for polyps in frames]
    order = sorted(range(len(values)), key=lambda number: (-values[number], number))
    kept = set(order[: math.ceil(rule.share * len(values))])
    return [
        None if number in kept else f"hardness is {value:.3g}, not among the hardest {rule.share:.0%}"
        for number, value in enumerate(values)
    ]


def _broken(rule: ScoreRule, measured: Measured) -> str | None:
    if rule.score in (CONFIDENCE, OVERLAP) and "refused" in measured:
        return f"{rule.score} can't be told: {measured['refused']}"
    value = measured[rule.score]
    if value is None:
        return None
    broken = rule.limit.broken_by(value)
    if broken is None:
        return None
    small, large = WORDS.get(rule.score, ("", ""))
    below = rule.limit.at_least is not None and value < rule.limit.at_least
    words = small if below else large
    return f"{rule.score} {broken}" + (f" ({words})" if words else "")
