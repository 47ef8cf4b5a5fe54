"""Leaks that the records tell: frames, patients and sequences of an evaluation set, and its splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from polyp_aug.curation.audit.findings import Finding
from polyp_aug.curation.audit.sets import AuditedSet
from polyp_aug.database.folder import TRAINING_SPLITS


def recorded_leaks(others: Sequence[AuditedSet], evaluation: Sequence[AuditedSet]) -> Iterator[Finding]:
    """What frames of training and synthetic sets come from, against the evaluation sets.

    A source leaks where it is a frame of an evaluation set, or shares its patient or sequence, or where its split is
    one that is not trained on. Each source of a set is told once, with the first frame that has it.

    Args:
        others: training and synthetic sets.
        evaluation: the sets that nothing may come from.
    """
    known = [(item.name, item.origins) for item in evaluation]
    for other in others:
        told = set()
        for file, use, source in other.made_from():
            if (use, source) in told:
                continue
            told.add((use, source))
            shared = [(name, what) for name, origins in known if (what := origins.shared(source)) is not None]
            for name, what in shared:
                detail = f"its {use} shares the {what}" if use != "frame" else f"shares the {what}"
                yield Finding("origin", use, name, what, source.group, other.name, file, source.group, detail)
            if not shared and source.split not in TRAINING_SPLITS:
                detail = f"its {use} {source.file} is of the split {source.split!r}"
                yield Finding("split", use, "", source.file, source.group, other.name, file, source.group, detail)
