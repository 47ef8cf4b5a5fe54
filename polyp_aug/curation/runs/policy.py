"""Policies: which rules a synthetic polyp must obey, read from YAML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import yaml

from polyp_aug.curation.limits import Limit, family_limits, parse_limit
from polyp_aug.curation.mask_agreement import default_agreement
from polyp_aug.curation.polyp_quality import FAMILY, WORDS
from polyp_aug.errors import ConfigurationError

#: The policy that the package brings.
DEFAULT_POLICY = Path(__file__).parents[1] / "default_policy.yaml"

Action = Literal["reject", "note"]
Refiner = Literal["difference", "sam"]
Seen = Literal["refuse", "accept"]

#: Scores by what measures them.
QUALITY = tuple(WORDS)
AGREEMENT, OVERLAP_OF_REFINED = "agreement", "refined_overlap"
CONFIDENCE, OVERLAP, HARDNESS = "confidence", "overlap", "hardness"
TRAINING_HASH, TRAINING_DISTANCE = "training_hash", "training_distance"
SCORES = (*QUALITY, AGREEMENT, OVERLAP_OF_REFINED, CONFIDENCE, OVERLAP, HARDNESS, TRAINING_HASH, TRAINING_DISTANCE)

#: Takes the limit that was measured on real data in the place of a number.
CALIBRATED = "calibrated"


@dataclass(frozen=True)
class ScoreRule:
    """A score must lie within limits.

    Attributes:
        score: one of `SCORES`.
        limit: what it must be.
        action: "reject" takes the polyp out, "note" only says so in its record.
    """

    score: str
    limit: Limit
    action: Action = "reject"


@dataclass(frozen=True)
class RefineRule:
    """Annotations are made to fit what was painted; before anything else is measured.

    Attributes:
        by: "difference", the comparison of before and after, or "sam".
    """

    by: Refiner


@dataclass(frozen=True)
class HardestRule:
    """Of the frames that are left, the share is kept whose polyps the detector finds latest."""

    share: float
    name: ClassVar[str] = "hardest"


@dataclass(frozen=True)
class DistinctRule:
    """Of frames whose polyps look alike only the first is kept.

    Attributes:
        hash_bits: perceptual hashes that differ in so many bits, or fewer, look alike; None leaves them out.
        feature_distance: so do crops whose features have this distance (1 − cosine), or a smaller one; None likewise.
    """

    hash_bits: int | None
    feature_distance: float | None
    name: ClassVar[str] = "distinct"


Rule = ScoreRule | RefineRule | HardestRule | DistinctRule


@dataclass(frozen=True)
class Policy:
    """All rules, in their order.

    Attributes:
        rules: score rules are one whole, whatever their order; rules about the set follow them, in their order.
        seen: what becomes of a polyp whose background or reference every referee was trained on: it is refused, or
            judged all the same.

    Raises:
        ConfigurationError: rules contradict each other.
    """

    rules: tuple[Rule, ...]
    seen: Seen = "refuse"

    def __post_init__(self) -> None:
        if len([rule for rule in self.rules if isinstance(rule, RefineRule)]) > 1:
            raise ConfigurationError("annotations can be refined once: give one rule 'refine'")
        if not self.refiner and any(rule.score == OVERLAP_OF_REFINED for rule in self.score_rules):
            raise ConfigurationError(f"the score {OVERLAP_OF_REFINED} needs a rule 'refine'")
        confirmed = any(rule.score == CONFIDENCE and rule.action == "reject" for rule in self.score_rules)
        if any(isinstance(rule, HardestRule) for rule in self.rules) and not confirmed:
            raise ConfigurationError(
                f"a rule 'hardest' needs a rejecting rule for {CONFIDENCE}: what a detector misses may be no polyp at "
                "all, and a referee must confirm it"
            )

    @property
    def score_rules(self) -> tuple[ScoreRule, ...]:
        """Rules about single polyps."""
        return tuple(rule for rule in self.rules if isinstance(rule, ScoreRule))

    @property
    def set_rules(self) -> tuple[HardestRule | DistinctRule, ...]:
        """Rules about the set."""
        return tuple(rule for rule in self.rules if isinstance(rule, HardestRule | DistinctRule))

    @property
    def refiner(self) -> Refiner | None:
        """How annotations are refined, if at all."""
        return next((rule.by for rule in self.rules if isinstance(rule, RefineRule)), None)

    @property
    def scores(self) -> frozenset[str]:
        """Scores that must be measured."""
        hardness = {HARDNESS} if any(isinstance(rule, HardestRule) for rule in self.rules) else set()
        return frozenset({rule.score for rule in self.score_rules} | hardness)

    @property
    def needs_features(self) -> bool:
        """Whether crops' features are compared."""
        distinct = [rule for rule in self.set_rules if isinstance(rule, DistinctRule)]
        return TRAINING_DISTANCE in self.scores or any(rule.feature_distance is not None for rule in distinct)

    def to_dict(self) -> dict[str, Any]:
        """All rules with their limits, in JSON types: what decides the result."""
        return {"seen": self.seen, "rules": [_plain(rule) for rule in self.rules]}


def read_policy(file: Path = DEFAULT_POLICY) -> Policy:
    """A policy from YAML: `rules`, a list, and `seen`; see docs/curation.md.

    Raises:
        ConfigurationError: the file can't be read, or a rule is wrong; the message says which.
    """
    try:
        document = yaml.safe_load(file.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{file}: can't be read as YAML ({error})") from error
    try:
        return parse_policy(document)
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from error


def parse_policy(document: Any) -> Policy:
    """A policy from what a YAML file holds.

    Raises:
        ConfigurationError: it is no policy, or a rule is wrong.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("rules"), list):
        raise ConfigurationError(f"a policy is a mapping with a list 'rules' (got {document!r})")
    _refuse_unknown(document, ("rules", "seen"), "the policy")
    seen = _one_of(document.get("seen", "refuse"), get_args(Seen), "'seen'")
    rules = []
    for number, entry in enumerate(document["rules"], start=1):
        try:
            rules.append(_rule(entry))
        except ConfigurationError as error:
            raise ConfigurationError(f"rule {number}: {error}") from error
    return Policy(tuple(rules), seen)


def _rule(entry: Any) -> Rule:
    kinds = [kind for kind in _PARSERS if isinstance(entry, Mapping) and kind in entry]
    if len(kinds) != 1:
        raise ConfigurationError(f"has to name one of {', '.join(_PARSERS)} (got {entry!r})")
    return _PARSERS[kinds[0]](entry)


def _score_rule(entry: Mapping[str, Any]) -> ScoreRule:
    _refuse_unknown(entry, ("score", "at_least", "at_most", "action"), "a rule of a score")
    score = _one_of(entry["score"], SCORES, "'score'")
    action = _one_of(entry.get("action", "reject"), get_args(Action), "'action'")
    bounds = {name: entry[name] for name in ("at_least", "at_most") if name in entry}
    return ScoreRule(score, parse_limit(bounds) if bounds else _calibrated(score), action)


def _calibrated(score: str) -> Limit:
    if score == AGREEMENT:
        return Limit(at_least=default_agreement().threshold)
    for family in (FAMILY, "refinement", "referee", "near_copies"):
        if score in family_limits(family):
            return family_limits(family)[score]
    raise ConfigurationError(f"{score} has no limit of its own: give at_least or at_most")


def _refine_rule(entry: Mapping[str, Any]) -> RefineRule:
    _refuse_unknown(entry, ("refine",), "a rule 'refine'")
    return RefineRule(_one_of(entry["refine"], get_args(Refiner), "'refine'"))


def _hardest_rule(entry: Mapping[str, Any]) -> HardestRule:
    _refuse_unknown(entry, ("hardest",), "a rule 'hardest'")
    share = entry["hardest"]
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ConfigurationError(f"'hardest' is {share!r}, expected a share above 0, at most 1")
    return HardestRule(float(share))


def _distinct_rule(entry: Mapping[str, Any]) -> DistinctRule:
    _refuse_unknown(entry, ("distinct",), "a rule 'distinct'")
    levels = entry["distinct"]
    if not isinstance(levels, Mapping) or not levels:
        raise ConfigurationError(f"'distinct' is {levels!r}, expected 'hash', 'features' or both, with their limits")
    _refuse_unknown(levels, ("hash", "features"), "'distinct'")
    bits, distance = (_most(levels.get(name), f"polyp_{name}") for name in ("hash", "features"))
    return DistinctRule(None if bits is None else int(bits), distance)


def _most(value: Any, score: str) -> float | None:
    """The largest distance at which two polyps look alike."""
    if value == CALIBRATED:
        return family_limits("near_copies")[score].at_most
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
        raise ConfigurationError(f"'distinct' has the limit {value!r}, expected '{CALIBRATED}' or a number from 0 on")
    return value


_PARSERS: dict[str, Callable[[Mapping[str, Any]], Rule]] = {
    "score": _score_rule,
    "refine": _refine_rule,
    "hardest": _hardest_rule,
    "distinct": _distinct_rule,
}


def _one_of(value: Any, known: tuple[Any, ...], name: str) -> Any:
    if value not in known:
        raise ConfigurationError(f"{name} is {value!r}, expected one of {', '.join(known)}")
    return value


def _refuse_unknown(entry: Mapping[str, Any], known: tuple[str, ...], name: str) -> None:
    unknown = sorted(str(key) for key in set(entry) - set(known))
    if unknown:
        raise ConfigurationError(f"{name} has {', '.join(unknown)}, expected only {', '.join(known)}")


def _plain(rule: Rule) -> dict[str, Any]:
    if isinstance(rule, ScoreRule):
        return {"score": rule.score, **rule.limit.to_dict(), "action": rule.action}
    if isinstance(rule, RefineRule):
        return {"refine": rule.by}
    if isinstance(rule, HardestRule):
        return {"hardest": rule.share}
    levels = {"hash": rule.hash_bits, "features": rule.feature_distance}
    return {"distinct": {name: value for name, value in levels.items() if value is not None}}
