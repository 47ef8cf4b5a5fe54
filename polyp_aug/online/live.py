"""Painting while the frame waits, for frames that no pool knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polyp_aug.augmenter import Augmenter, AugmenterSettings
from polyp_aug.coco import read_coco
from polyp_aug.errors import ConfigurationError
from polyp_aug.keys import Key
from polyp_aug.proposers.registry import load_proposer
from polyp_aug.references import ReferenceBank
from polyp_aug.scene import Scene, Synthetic
from polyp_aug.synthesizers.registry import POLYP_GEN, load_synthesizer, parse_synthesizer


class LivePainter:
    """Paints polyps into one frame at a time.

    Args:
        augmenter: the flow.
        in_workers: whether it may run in a data loader's worker processes; a diffusion model may not, whose weights and
            threads each of them would hold once more.
    """

    def __init__(self, augmenter: Augmenter, *, in_workers: bool) -> None:
        self._augmenter = augmenter
        self.in_workers = in_workers

    def paint(self, scene: Scene, key: Key) -> Synthetic:
        """The frame with new polyps, none where no place was found or all were rejected."""
        [painted] = self._augmenter.render([scene], [self._augmenter.plan(scene, key)])
        return painted


def load_live_painter(
    synthesizer: str,
    references: Path | None,
    *,
    proposer: str = "random",
    polyps_per_image: tuple[int, int] = (1, 1),
    size_range: Sequence[float] | None = None,
) -> LivePainter:
    """Load what paints.

    Args:
        synthesizer: name, folder, file or hub id; see `load_synthesizer`.
        references: COCO set of polyps to take, a run folder among them; None where neither reads any.
        proposer: "random" or "reference".
        polyps_per_image: smallest and largest number of new polyps.
        size_range: see `GenerateConfig`, for the proposer "random".

    Raises:
        CocoError: the references break the format.
        ConfigurationError: names, weights and references don't fit together.
        MissingDependencyError: a package that the synthesizer needs is not installed.
    """
    name, _ = parse_synthesizer(synthesizer)
    if name != POLYP_GEN and references is None:
        raise ConfigurationError(f"'references' must be given, for the synthesizer {name}")
    bank = ReferenceBank(read_coco(references)) if references is not None else None
    where = load_proposer(proposer, references=bank, size_range=(size_range[0], size_range[1]) if size_range else None)
    what = load_synthesizer(synthesizer, references=bank)
    settings = AugmenterSettings(polyps_per_image=polyps_per_image)
    return LivePainter(Augmenter(where, what, settings), in_workers=name != POLYP_GEN)
