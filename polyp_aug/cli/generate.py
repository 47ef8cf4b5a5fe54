"""`polyp-aug generate` and `polyp-aug preview`."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from polyp_aug.cli.export import export_run
from polyp_aug.cli.frames import (
    Attribute,
    Captions,
    CheckMasks,
    FrameSize,
    MaskGuidance,
    MaskShares,
    frames_config,
    needs_backgrounds,
    refuse_frame_flags,
)
from polyp_aug.cli.output import (
    output,
    parse_range,
    parse_shard,
    parse_shares,
    parse_size,
    print_table,
    size_text,
)
from polyp_aug.cli.painting import (
    Base,
    ChannelsLast,
    Compile,
    Device,
    Dtype,
    Guidance,
    Lora,
    Mode,
    SafetyChecker,
    Sampler,
    Steps,
    Strength,
    SynthesizerName,
    Weights,
    painting_options,
)
from polyp_aug.cli.running import run_frames, run_generate
from polyp_aug.errors import ConfigurationError
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.generation.estimate import estimate_run
from polyp_aug.generation.facts import flatten
from polyp_aug.generation.frames import prepare_frames
from polyp_aug.generation.generate import PreparedRun, prepare_run
from polyp_aug.generation.preview import preview_sheet
from polyp_aug.generation.run_folder import MANIFEST_NAME
from polyp_aug.generation.writing import PlannedSamples, RunLimits
from polyp_aug.images import write_png
from polyp_aug.proposers.registry import proposer_names
from polyp_aug.synthesizers.registry import CCIS_DIFF, makes_frames

BACKGROUNDS_HELP = "Frames to paint into: a folder of pictures, a COCO file, or a folder with annotations.json."

Backgrounds = Annotated[
    Path | None, typer.Option(help=f"{BACKGROUNDS_HELP} Not for {CCIS_DIFF}, which makes whole frames.")
]
References = Annotated[
    Path | None,
    typer.Option(
        help="Real polyps with masks: a COCO file, or a folder with annotations.json. For transplant, copy_paste, "
        f"{CCIS_DIFF}, --strength below 1 and the proposer reference."
    ),
]
PolypsPerImage = Annotated[str, typer.Option(help="New polyps in a frame: a number or a range.")]
ProposerName = Annotated[str, typer.Option(help=f"What chooses the place: {', '.join(proposer_names())}.")]
Seed = Annotated[int, typer.Option(help="The only source of randomness.")]
SizeRange = Annotated[
    str | None,
    typer.Option(
        help="Diameters of polyps as shares of the frame's shorter side, 0.08-0.45 by default (proposer random)."
    ),
]
Database = Annotated[
    Path | None, typer.Option(help="Reference database, made by `polyp-aug index build` (proposer retrieval).")
]
Encoder = Annotated[
    str, typer.Option(help="The database's encoder, where it can't name it: a folder or org/name@commit.")
]
Feather = Annotated[float, typer.Option(help="Width of the soft edge as a share of the polyp's diameter.")]
BackgroundsImages = Annotated[
    Path | None, typer.Option(help="Folder of the backgrounds' pictures, where it isn't beside their COCO file.")
]
ReferencesImages = Annotated[Path | None, typer.Option(help="The same for the references.")]
Fix = Annotated[bool, typer.Option("--fix", help="Mend COCO files that break the format, where that is possible.")]


class Format(StrEnum):
    """What a run is written as; COCO always is."""

    COCO = "coco"
    YOLO = "yolo"


def generate(
    out: Annotated[Path, typer.Option(help="Run folder. An interrupted run in it is resumed.")],
    backgrounds: Backgrounds = None,
    references: References = None,
    count: Annotated[int | None, typer.Option(help="Samples to make, in all shards.")] = None,
    per_image: Annotated[int | None, typer.Option(help="Samples to make from each background.")] = None,
    polyps_per_image: PolypsPerImage = "1",
    synthesizer: SynthesizerName = "transplant",
    proposer: ProposerName = "random",
    seed: Seed = 0,
    shard: Annotated[str, typer.Option(help="i/n: make every n-th sample, from the i-th on.")] = "1/1",
    size_range: SizeRange = None,
    database: Database = None,
    encoder: Encoder = "",
    feather: Feather = 0.06,
    batch_size: Annotated[int, typer.Option(help="Samples that are rendered together.")] = 8,
    attempts: Annotated[int, typer.Option(help="Backgrounds to try for a sample of --count before it is skipped.")] = 6,
    limit_bytes: Annotated[str | None, typer.Option(help="Stop before the pictures take more, e.g. 20G.")] = None,
    max_failures: Annotated[float, typer.Option(help="Largest share of samples that may fail.")] = 0.1,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted run; --no-resume refuses to.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and the cost, and write nothing.")] = False,
    output_format: Annotated[
        Format,
        typer.Option("--format", help="yolo: when the run is done, also write it to OUT/yolo, with labels of YOLO."),
    ] = Format.COCO,
    backgrounds_images: BackgroundsImages = None,
    references_images: ReferencesImages = None,
    fix: Fix = False,
    attribute: Attribute = None,
    captions: Captions = None,
    mask_shares: MaskShares = None,
    check: CheckMasks = True,
    mask_guidance: MaskGuidance = None,
    frame_size: FrameSize = None,
    weights: Weights = None,
    base: Base = None,
    lora: Lora = None,
    device: Device = None,
    dtype: Dtype = None,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Guidance = None,
    strength: Strength = None,
    mode: Mode = None,
    compiled: Compile = False,
    channels_last: ChannelsLast = False,
    safety_checker: SafetyChecker = False,
) -> None:
    """Paint polyps into frames, or make whole ones, and write a COCO data set with a gallery."""
    flags = dict(locals())
    limits = RunLimits(parse_size(limit_bytes) if limit_bytes else None, max_failures)
    if not dry_run and not resume and (out / MANIFEST_NAME).exists():
        raise ConfigurationError(f"{out}: holds a run already; leave out --no-resume to go on with it")
    if makes_frames(synthesizer):
        frames = frames_config(synthesizer, flags)
        if dry_run:
            _print_estimate(prepare_frames(frames), frames.settings(), [], out)
            return
        run_frames(frames, out, limits)
        if output_format is Format.YOLO:
            export_run(out)
        return
    refuse_frame_flags(flags)
    config = GenerateConfig(
        backgrounds=needs_backgrounds(backgrounds),
        references=references,
        count=count,
        per_image=per_image,
        polyps_per_image=parse_range(polyps_per_image),
        synthesizer=synthesizer,
        proposer=proposer,
        seed=seed,
        shard=parse_shard(shard),
        size_range=parse_shares(size_range) if size_range else None,
        database=database,
        encoder=encoder,
        feather=feather,
        painting=painting_options(
            synthesizer,
            batch_size=batch_size,
            weights=weights,
            base=base,
            lora=lora,
            device=device,
            dtype=dtype,
            sampler=sampler,
            steps=steps,
            guidance=guidance,
            strength=strength,
            mode=mode,
            compiled=compiled,
            channels_last=channels_last,
            safety_checker=safety_checker,
        ),
        batch_size=batch_size,
        attempts=attempts,
        backgrounds_images=backgrounds_images,
        references_images=references_images,
        fix=fix,
    )
    if dry_run:
        prepared = prepare_run(config)
        _print_estimate(prepared, prepared.config.settings(), _inputs(prepared), out)
        return
    run_generate(config, out, limits)
    if output_format is Format.YOLO:
        export_run(out)


def preview(
    out: Annotated[Path, typer.Option(help="Picture to write, a PNG.")],
    backgrounds: Backgrounds = None,
    references: References = None,
    count: Annotated[int, typer.Option(help="Samples to show.")] = 6,
    polyps_per_image: PolypsPerImage = "1",
    synthesizer: SynthesizerName = "transplant",
    proposer: ProposerName = "random",
    seed: Seed = 0,
    size_range: SizeRange = None,
    database: Database = None,
    encoder: Encoder = "",
    feather: Feather = 0.06,
    outlines: Annotated[bool, typer.Option("--outlines", help="Draw the outline of every new polyp.")] = False,
    backgrounds_images: BackgroundsImages = None,
    references_images: ReferencesImages = None,
    fix: Fix = False,
    attribute: Attribute = None,
    captions: Captions = None,
    mask_shares: MaskShares = None,
    check: CheckMasks = True,
    mask_guidance: MaskGuidance = None,
    frame_size: FrameSize = None,
    weights: Weights = None,
    base: Base = None,
    lora: Lora = None,
    device: Device = None,
    dtype: Dtype = None,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Guidance = None,
    strength: Strength = None,
    mode: Mode = None,
    compiled: Compile = False,
    channels_last: ChannelsLast = False,
    safety_checker: SafetyChecker = False,
) -> None:
    """Write one picture with a few samples before and after."""
    flags = dict(locals())
    if makes_frames(synthesizer):
        plan = prepare_frames(frames_config(synthesizer, flags))
        write_png(out, preview_sheet(plan, count, outlines=outlines))
        output.print(f"Wrote {out}", markup=False, highlight=False)
        return
    refuse_frame_flags(flags)
    config = GenerateConfig(
        backgrounds=needs_backgrounds(backgrounds),
        references=references,
        count=count,
        polyps_per_image=parse_range(polyps_per_image),
        synthesizer=synthesizer,
        proposer=proposer,
        seed=seed,
        size_range=parse_shares(size_range) if size_range else None,
        database=database,
        encoder=encoder,
        feather=feather,
        painting=painting_options(
            synthesizer,
            weights=weights,
            base=base,
            lora=lora,
            device=device,
            dtype=dtype,
            sampler=sampler,
            steps=steps,
            guidance=guidance,
            strength=strength,
            mode=mode,
            compiled=compiled,
            channels_last=channels_last,
            safety_checker=safety_checker,
        ),
        backgrounds_images=backgrounds_images,
        references_images=references_images,
        fix=fix,
    )
    write_png(out, preview_sheet(prepare_run(config), count, outlines=outlines))
    output.print(f"Wrote {out}", markup=False, highlight=False)


def _inputs(prepared: PreparedRun) -> list[tuple[str, object]]:
    """What a run reads, for the table of its plan."""
    rows: list[tuple[str, object]] = [("backgrounds", len(prepared.backgrounds.frames))]
    if prepared.references is not None:
        excluded = ", ".join(f"{number} {reason}" for reason, number in prepared.references.excluded.items())
        text = f"{len(prepared.references)}" + (f" (left out: {excluded})" if excluded else "")
        rows.append(("reference polyps", text))
    return rows


def _print_estimate(
    prepared: PlannedSamples, settings: Mapping[str, Any], inputs: Sequence[tuple[str, object]], out: Path
) -> None:
    found = estimate_run(prepared, out)
    rows: list[tuple[str, object]] = list(flatten(settings))
    rows += [
        ("samples", found.samples),
        *inputs,
        ("new polyps expected", found.polyps),
        ("time expected", str(datetime.timedelta(seconds=round(found.seconds)))),
        ("size expected", f"{size_text(found.bytes)} ({size_text(found.free_bytes)} free)"),
    ]
    rows += [("problem", problem) for problem in found.problems]
    print_table(f"Plan, from {found.tried} samples made in memory", ("what", "value"), rows)
