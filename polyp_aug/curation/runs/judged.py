"""A sample on its way through a policy, and the record that it ends as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polyp_aug.curation.runs.measuring import Measured
from polyp_aug.curation.runs.painted import SYNTHETIC, Record, painted_objects
from polyp_aug.curation.runs.policy import Policy
from polyp_aug.curation.runs.refining import FIELDS, with_refined
from polyp_aug.curation.runs.verdicts import Verdict, frames_reasons, judge_polyp

#: What the provenance of a polyp says of each time that it was curated.
CURATION = "curation"


@dataclass(eq=False)
class JudgedSample:
    """A sample of a run.

    Attributes:
        record: its line in the run's manifest; with the new annotations, once they are refined.
        measured: what was measured of each of its painted polyps.
        verdicts: what the policy says of each.
        reasons: why each leaves, by rule; empty where it stays.
    """

    record: Record
    measured: list[Measured] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    reasons: list[Mapping[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.made:
            polyps = painted_objects(self.record)
            self.measured = [{} for _ in polyps]
            self.reasons = [{} for _ in polyps]
            self._annotated = [{name: item[name] for name in FIELDS} for item in polyps]

    @property
    def made(self) -> bool:
        """Whether there is a frame to judge."""
        return bool(self.record["status"] == "made")

    @property
    def kept(self) -> bool:
        """Whether the frame stays."""
        return self.made and not any(self.reasons)

    def refine(self) -> None:
        """Take the annotations that were measured."""
        self.record = with_refined(self.record, self.measured)
        self.measured = [
            {name: value for name, value in measured.items() if name not in FIELDS} for measured in self.measured
        ]

    def judge(self, policy: Policy) -> None:
        """Apply a policy's score rules."""
        self.verdicts = [judge_polyp(policy, measured) for measured in self.measured]
        self.reasons = frames_reasons(self.verdicts)

    def leave(self, rule: str, reason: str) -> None:
        """Take the whole frame out."""
        self.reasons = [{rule: reason} for _ in self.reasons]

    def outcome(self) -> dict[str, Any]:
        """Its line in the new manifest: as it was, with what was found, or `rejected` in a sample that is skipped."""
        if not self.made:
            return dict(self.record)
        entries = iter(self.entries())
        record = {
            **self.record,
            "objects": [
                _with_entry(item, next(entries)) if item["origin"] == SYNTHETIC else item
                for item in self.record["objects"]
            ],
        }
        if self.kept:
            return record
        reasons = dict.fromkeys(reason for own in self.reasons for reason in own.values())
        return {
            "sample": self.record["sample"],
            "status": "skipped",
            "reasons": list(reasons),
            "unreadable": self.record["unreadable"],
            "rejected": record,
        }

    def entries(self) -> list[dict[str, Any]]:
        """What is kept of each polyp; empty where there is nothing to say."""
        return [self._entry(number) for number in range(len(self.measured))]

    def _entry(self, number: int) -> dict[str, Any]:
        """What is kept of a polyp: its scores, what was noted, why it leaves, and its old annotation."""
        known = {name: value for name, value in self.measured[number].items() if value is not None}
        polyp = painted_objects(self.record)[number]
        changed = any(polyp[name] != value for name, value in self._annotated[number].items())
        parts = {
            "scores": known,
            "notes": dict(self.verdicts[number].notes) if self.verdicts else {},
            "reasons": dict(self.reasons[number]),
            "annotated": self._annotated[number] if changed else {},
        }
        return {name: value for name, value in parts.items() if value}


def _with_entry(item: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    if not entry:
        return dict(item)
    provenance = item["provenance"]
    return {**item, "provenance": {**provenance, CURATION: [*provenance.get(CURATION, []), dict(entry)]}}
