"""A data set with new polyps, from its settings to a finished folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polyp_aug.augmenter import Augmenter
from polyp_aug.coco import CocoDataset, read_coco
from polyp_aug.database.identity import digest_database
from polyp_aug.errors import ConfigurationError
from polyp_aug.generation.backgrounds import Backgrounds, SampleDeck, deal_samples, read_backgrounds
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.generation.run_record import category_rows, described_weights, license_rows, versions
from polyp_aug.generation.samples import SampleMaker
from polyp_aug.generation.writing import RunLimits, RunPlan, RunProgress, write_run
from polyp_aug.proposers.registry import load_proposer
from polyp_aug.references import ReferenceBank
from polyp_aug.synthesizers.registry import POLYP_GEN, load_synthesizer


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """Everything that a run needs, checked, before the first sample is made.

    Attributes:
        config: the settings.
        backgrounds: the frames.
        references: the reference polyps, where any are needed.
        augmenter: the flow.
        deck: the samples of this shard.
        maker: makes samples.
        run: what `run.json` holds.
    """

    config: GenerateConfig
    backgrounds: Backgrounds
    references: ReferenceBank | None
    augmenter: Augmenter
    deck: SampleDeck
    maker: SampleMaker
    run: dict[str, Any]


def prepare_run(config: GenerateConfig) -> PreparedRun:
    """Read the inputs and load what is needed.

    Raises:
        ConfigurationError: an input is empty, or settings contradict each other.
        CocoError: a COCO file breaks the format.
        MissingDependencyError: a package that the synthesizer needs is not installed.
    """
    if config.painting_options is not None:
        config = replace(config, synthesizer=POLYP_GEN, painting=config.painting_options.resolved())
    backgrounds = read_backgrounds(config.backgrounds, config.backgrounds_images, config.fix)
    reference_set = _read_references(config)
    references = _bank(config, reference_set)
    synthesizer = load_synthesizer(config.synthesizer, references=references, options=config.painting)
    augmenter = Augmenter(
        load_proposer(
            config.proposer,
            references=references,
            size_range=config.size_range,
            database=config.database,
            encoder=config.encoder,
            device=config.painting.device if config.painting else "cpu",
        ),
        synthesizer,
        config.augmenter_settings(),
    )
    deck = deal_samples(config, len(backgrounds.frames))
    maker = SampleMaker(augmenter, backgrounds.frames, config.seed)
    sets: list[Backgrounds | CocoDataset] = [backgrounds, *([reference_set] if reference_set else [])]
    run = {
        "config": config.settings(),
        "inputs": backgrounds.described()
        | _described(config, references)
        | _described_database(config)
        | described_weights(config.painting, synthesizer.revision),
        "versions": versions(diffusion=config.painting is not None),
        "categories": category_rows([category for found in sets for category in found.categories]),
        "licenses": license_rows([licence for found in sets for licence in found.licenses]),
    }
    return PreparedRun(config, backgrounds, references, augmenter, deck, maker, run)


def generate(
    config: GenerateConfig,
    out: Path,
    *,
    limits: RunLimits | None = None,
    observer: Callable[[RunProgress], None] | None = None,
) -> RunProgress:
    """Make a data set, or go on with one that was begun.

    The folder's bytes depend on settings, inputs, versions and the kind of processor alone (OpenCV rounds differently
    with other vector instructions; plans don't depend on it), however often the run was killed and started
    again. With `polyp_gen` they depend on the number of torch's threads too, and pictures of other batches (another
    batch size, the shards of a run) agree up to rounding only.

    Args:
        config: the settings.
        out: the run folder; see `run_folder`.
        limits: when to stop early.
        observer: called after every batch.

    Raises:
        ConfigurationError: see `prepare_run` and `RunFolder`.
        RunFolderBusyError: another process writes to the folder.
        StorageError: the disk is full or can't be written; what is there can be resumed.
        TooManyFailuresError: more samples failed than `limits` allow; what is there can be resumed.
    """
    prepared = prepare_run(config)
    plan = RunPlan(prepared.deck, prepared.maker, config.batch_size, prepared.run)
    return write_run(plan, config.backgrounds, out, limits=limits, observer=observer)


def _read_references(config: GenerateConfig) -> CocoDataset | None:
    if config.references is None:
        return None
    return read_coco(config.references, image_root=config.references_images, fix=config.fix)


def _bank(config: GenerateConfig, dataset: CocoDataset | None) -> ReferenceBank | None:
    if dataset is None:
        return None
    bank = ReferenceBank(dataset)
    if not any(polyp.path.is_file() for polyp in bank.polyps):
        raise ConfigurationError(f"{bank.polyps[0].path}: no such picture, nor any other of {config.references}")
    return bank


def _described_database(config: GenerateConfig) -> dict[str, Any]:
    """The database of the proposer, for `run.json`."""
    if config.database is None:
        return {}
    return {"database": config.database.resolve().name, "database_sha256": digest_database(config.database)}


def _described(config: GenerateConfig, references: ReferenceBank | None) -> dict[str, Any]:
    """The references, for `run.json`."""
    if config.references is None or references is None:
        return {}
    folder = config.references if config.references.is_dir() else config.references.parent
    return {
        "references": folder.resolve().name,
        "reference_polyps": len(references),
        "references_sha256": references.digest,
    }
