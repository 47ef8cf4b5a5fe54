"""What a policy's rules need beside the run: referees, a detector, training polyps, features, a segmenter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyp_aug.coco.read import annotations_file
from polyp_aug.curation.runs.detectors import Detect, HardnessScores, Referee, RefereeScores
from polyp_aug.curation.runs.looks import AgreementScores, QualityScores
from polyp_aug.curation.runs.measuring import Scorer
from polyp_aug.curation.runs.memorised import TrainingDistances, TrainingHashes
from polyp_aug.curation.runs.policy import (
    AGREEMENT,
    CONFIDENCE,
    HARDNESS,
    OVERLAP,
    QUALITY,
    TRAINING_DISTANCE,
    TRAINING_HASH,
    Policy,
)
from polyp_aug.curation.runs.refining import Segmenter
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.report import digest_of

if TYPE_CHECKING:
    from polyp_aug.evaluation.features import FeatureExtractor


@dataclass(frozen=True, eq=False)
class Helpers:
    """What may be given.

    Attributes:
        referees: confirm polyps.
        detector: what the curated polyps are for: it says how hard they are.
        detector_facts: what identifies it, in JSON types.
        train: COCO set of the polyps that the generator was trained on.
        extractor: of features.
        segmenter: refines annotations.
    """

    referees: tuple[Referee, ...] = ()
    detector: Detect | None = None
    detector_facts: Mapping[str, Any] = field(default_factory=dict)
    train: Path | None = None
    extractor: FeatureExtractor | None = None
    segmenter: Segmenter | None = None

    def check(self, policy: Policy) -> None:
        """Check that a policy's rules have what they need, and that nothing is given in vain.

        Raises:
            ConfigurationError: something is missing, or no rule needs it; the message names both.
        """
        judged = policy.scores & {CONFIDENCE, OVERLAP}
        for name, given, needed, user in (
            ("a referee", bool(self.referees), bool(judged), f"the scores {CONFIDENCE} and {OVERLAP}"),
            ("a detector", self.detector is not None, HARDNESS in policy.scores, f"{HARDNESS} and rules 'hardest'"),
            (
                "the training set",
                self.train is not None,
                bool(policy.scores & {TRAINING_HASH, TRAINING_DISTANCE}),
                f"{TRAINING_HASH} and {TRAINING_DISTANCE}",
            ),
            ("a SAM model", self.segmenter is not None, policy.refiner == "sam", "'refine: sam'"),
            (
                "a feature extractor",
                self.extractor is not None,
                policy.needs_features,
                f"{TRAINING_DISTANCE} and 'distinct' by features",
            ),
        ):
            if needed and not given:
                raise ConfigurationError(f"the policy has a rule that needs {name} ({user}), and none is given")
            if given and not needed:
                raise ConfigurationError(f"{name} is given, but no rule of the policy needs it ({user} would)")

    def scorers(self, policy: Policy, *, whole: bool) -> list[Scorer]:
        """What measures the scores that a policy needs.

        Args:
            policy: that was checked.
            whole: whether the run makes whole frames.
        """
        found: list[Scorer] = []
        if policy.scores & set(QUALITY):
            found.append(QualityScores(whole=whole))
        if AGREEMENT in policy.scores:
            found.append(AgreementScores())
        if policy.scores & {CONFIDENCE, OVERLAP}:
            found.append(RefereeScores(self.referees, policy.seen))
        if self.detector is not None:
            found.append(HardnessScores(self.detector))
        if self.train is not None and TRAINING_HASH in policy.scores:
            found.append(TrainingHashes(self.train))
        if self.train is not None and self.extractor is not None and TRAINING_DISTANCE in policy.scores:
            found.append(TrainingDistances(self.train, self.extractor))
        return found

    def facts(self) -> dict[str, Any]:
        """What identifies them, in JSON types, for `run.json`."""
        return {
            **({"referees": {item.name: dict(item.facts) for item in self.referees}} if self.referees else {}),
            **({"detector": dict(self.detector_facts)} if self.detector is not None else {}),
            **({"train_sha256": digest_of([annotations_file(self.train)])} if self.train is not None else {}),
            **({"extractor": self.extractor.name} if self.extractor is not None else {}),
            **({"sam_revision": self.segmenter.revision} if self.segmenter is not None else {}),
        }
