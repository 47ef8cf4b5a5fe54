"""`polyp-aug curate`: what is good enough of a run, by a policy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyp_aug.cli.output import errors, output, show_report
from polyp_aug.cli.running import resumable
from polyp_aug.curation.runs.policy import DEFAULT_POLICY, read_policy

if TYPE_CHECKING:
    from polyp_aug.curation.runs.detectors import Referee

_REFEREE = "CONFIG,CHECKPOINT,TRAINED_ON such as centernet.py,fold_1.pth,fold_2.json,fold_3.json"
_DETECTOR = "CONFIG,CHECKPOINT such as centernet.py,iter_1500.pth"


def curate(
    run: Annotated[Path, typer.Argument(help="Run folder, of `generate`; it stays as it is.")],
    out: Annotated[Path, typer.Option(help="Run folder to write, or to go on with.")],
    policy: Annotated[Path | None, typer.Option(help="YAML file of rules; the package's own if not given.")] = None,
    referee: Annotated[
        list[str] | None,
        typer.Option(
            help="CONFIG,CHECKPOINT,TRAINED_ON: a detector of mmdet that confirms polyps, and the COCO sets or runs "
            "that it was trained on, one or more; once for each. The first that saw nothing of a polyp judges it."
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="CONFIG,CHECKPOINT: the detector that the polyps are for, which says how hard they are."),
    ] = None,
    train: Annotated[
        Path | None, typer.Option(help="COCO set of the polyps that the generator was trained on, for copies of them.")
    ] = None,
    sam: Annotated[
        str | None, typer.Option(help="SAM weights for `refine: sam`: a transformers folder, or org/name@commit.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Frames that go through a detector at once.")] = 8,
    device: Annotated[str, typer.Option(help="Where networks compute: cpu, cuda, cuda:1.")] = "cpu",
) -> None:
    """Keep what is good enough of a run, by a policy, in a new run folder; say why of everything else."""
    rules = read_policy(policy or DEFAULT_POLICY)
    from polyp_aug.curation.runs.curate import curate as apply
    from polyp_aug.curation.runs.helpers import Helpers

    features = segmenter = None
    if rules.needs_features:
        from polyp_aug.evaluation.features import EfficientNetLiteFeatures

        features = EfficientNetLiteFeatures(device=device)
    if sam is not None:
        from polyp_aug.curation.runs.sam import SamSegmenter

        segmenter = SamSegmenter(sam, device)
    detect, facts = None, {}
    if detector is not None:
        config, checkpoint = _files(detector, _DETECTOR, exact=True)
        from polyp_aug.integrations.mmdet.inference import detect as find
        from polyp_aug.integrations.mmdet.inference import detector_facts

        detect = partial(find, config, checkpoint, batch_size=batch_size, device=device)
        facts = detector_facts(config, checkpoint)
    helpers = Helpers(
        referees=tuple(
            _referee(text, number, batch_size, device) for number, text in enumerate(referee or (), start=1)
        ),
        detector=detect,
        detector_facts=facts,
        train=train,
        extractor=features,
        segmenter=segmenter,
    )
    result = resumable("samples", lambda show: apply(run, out, rules, helpers, _told(show)))
    show_report(result.tables, out)
    kept, polyps = (result.report[name] for name in ("polyps_kept", "polyps"))
    output.print(f"{kept} of {polyps} polyps kept: {out}", markup=False, highlight=False, soft_wrap=True)


def _referee(text: str, number: int, batch_size: int, device: str) -> Referee:
    config, checkpoint, *sets = _files(text, _REFEREE)
    if not sets:
        raise typer.BadParameter(f"expected {_REFEREE} (got {text!r})")
    # mmdet takes seconds to import.
    from polyp_aug.curation.runs.detectors import Referee, seen_digest, trained_on
    from polyp_aug.integrations.mmdet.inference import detect, detector_facts

    find = partial(detect, config, checkpoint, batch_size=batch_size, device=device)
    facts = detector_facts(config, checkpoint) | {"trained_on_sha256": seen_digest(sets)}
    return Referee(f"{number}: {config.stem}", find, trained_on(sets), facts)


def _files(text: str, example: str, *, exact: bool = False) -> list[Path]:
    parts = text.split(",")
    if len(parts) < 2 or not all(parts) or (exact and len(parts) != 2):
        raise typer.BadParameter(f"expected {example} (got {text!r})")
    return [Path(part) for part in parts]


def _told(show: Callable[[int, int], None]) -> Callable[[str, int, int], None]:
    """Shows the progress of each stage, and its name when it begins."""
    current = ""

    def tell(what: str, done: int, total: int) -> None:
        nonlocal current
        if what != current:
            current = what
            errors.print(what, markup=False, highlight=False)
        show(done, total)

    return tell
