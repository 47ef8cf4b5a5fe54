"""`polyp-aug evaluate`: how good networks, synthetic polyps and proposed places are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyp_aug.cli.detections import detections
from polyp_aug.cli.images import compare, images
from polyp_aug.cli.output import errors, parse_named, progress_bar, show_report

if TYPE_CHECKING:
    from polyp_aug.evaluation.detector_recall import RecallEvaluation
    from polyp_aug.evaluation.frames import FrameDetector

app = typer.Typer(
    help="Measure networks, synthetic polyps and proposed places against real frames.", no_args_is_help=True
)
app.command("detections")(detections)
app.command("images")(images)
app.command("compare")(compare)


@app.command("autoencoder")
def autoencoder(
    weights: Annotated[Path, typer.Option(help="Folder of the autoencoder, as diffusers saves it.")],
    data: Annotated[
        list[Path], typer.Option(help="Frames it was not trained on: a folder or COCO data set; once for each.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for report.json, report.md and the sheet.")],
    size: Annotated[int, typer.Option(help="Side of the crops in pixels.")] = 128,
    count: Annotated[int, typer.Option(help="Number of crops.")] = 256,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
) -> None:
    """Measure how well an autoencoder rebuilds real frames: PSNR, SSIM, colour."""
    # torch takes seconds to import, and the other commands don't need it.
    from polyp_aug.evaluation.reconstruction import evaluate_autoencoder

    with progress_bar("crops") as show:
        result = evaluate_autoencoder(weights, data, out, size=size, count=count, seed=seed, observer=show)
    show_report(result.tables, out)


@app.command("polyps")
def polyps(
    real: Annotated[Path, typer.Option(help="COCO set of real polyps that no generator has seen.")],
    synthetic: Annotated[list[str], typer.Option(help="NAME=COCO, once for each set of synthetic polyps.")],
    out: Annotated[Path, typer.Option(help="Folder for report.json, report.md and the sheets.")],
    train: Annotated[
        Path | None, typer.Option(help="COCO set of the real training polyps: adds the floor and the copies' check.")
    ] = None,
    count: Annotated[int | None, typer.Option(help="At most so many polyps of each set; all if not given.")] = None,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
    every_object: Annotated[
        bool, typer.Option("--every-object", help="Take synthetic sets whole, for sets that polyp-aug did not make.")
    ] = False,
) -> None:
    """Measure synthetic polyps against real ones: kernel distance (KID), copies of training polyps, contact sheets."""
    sets = _sets(synthetic)
    from polyp_aug.evaluation.features import EfficientNetLiteFeatures
    from polyp_aug.evaluation.polyps import evaluate_polyps

    result = evaluate_polyps(
        real,
        sets,
        out,
        extractor=EfficientNetLiteFeatures(),
        train=train,
        count=count,
        seed=seed,
        every_object=every_object,
        observer=lambda name: errors.print(f"features of {name}", markup=False, highlight=False),
    )
    show_report(result.tables, out)


@app.command("recall")
def recall(
    config: Annotated[Path, typer.Option(help="Config of the detector, of mmdet.")],
    checkpoint: Annotated[Path, typer.Option(help="Its weights.")],
    validation: Annotated[Path, typer.Option(help="COCO set to choose the threshold on, by F1.")],
    sets: Annotated[
        list[str], typer.Option("--set", help="NAME=COCO, once for each set of polyps; the first one is the real one.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for report.json and report.md.")],
    empty: Annotated[
        list[str] | None, typer.Option(help="NAME=COCO, once for each set of frames that should hold no polyp.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Frames that go through the network at once.")] = 8,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    every_object: Annotated[
        bool, typer.Option("--every-object", help="Count all objects, for sets that polyp-aug did not make.")
    ] = False,
) -> None:
    """Measure which share of real and of synthetic polyps a detector finds, and of frames without polyps not."""
    measured, emptied = _sets(sets), _sets(empty or [])
    result = _recall(
        config,
        checkpoint,
        validation,
        batch_size,
        device,
        measured,
        out,
        empty=emptied,
        seed=seed,
        every_object=every_object,
    )
    show_report(result.tables, out)


def _recall(
    config: Path,
    checkpoint: Path,
    validation: Path,
    batch_size: int,
    device: str,
    sets: Mapping[str, Path],
    out: Path,
    *,
    empty: Mapping[str, Path] | None = None,
    seed: int = 0,
    every_object: bool = False,
) -> RecallEvaluation:
    from polyp_aug.evaluation.detector_recall import evaluate_recall
    from polyp_aug.integrations.mmdet.inference import detect, detector_facts

    with progress_bar("frames") as show:
        found = partial(detect, config, checkpoint, batch_size=batch_size, device=device, observer=show)
        facts = detector_facts(config, checkpoint)
        return evaluate_recall(found, facts, validation, sets, out, empty=empty, seed=seed, every_object=every_object)


def _sets(texts: list[str]) -> dict[str, Path]:
    return {name: Path(path) for name, path in parse_named(texts, "transplant=runs/transplant").items()}


@app.command("frames")
def frames(
    real: Annotated[Path, typer.Option(help="COCO set of real frames that no generator has seen.")],
    train: Annotated[Path, typer.Option(help="COCO set of the real training frames.")],
    run: Annotated[list[str], typer.Option(help="NAME=RUN, once for each run of whole frames (ccis_diff).")],
    out: Annotated[Path, typer.Option(help="Folder for report.json and report.md.")],
    captions: Annotated[Path | None, typer.Option(help="Captions of --real; beside it by default.")] = None,
    train_captions: Annotated[Path | None, typer.Option(help="Captions of --train; beside it by default.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Config of a detector, of mmdet, trained on real frames: reads place and size.")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Its weights.")] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
) -> None:
    """Measure whole frames against real ones: kernel distance (KID), and whether they show what was asked for."""
    runs = _sets(run)
    if (config is None) != (checkpoint is None):
        raise typer.BadParameter("--config and --checkpoint belong together")
    from polyp_aug.captions.dataset import captions_file
    from polyp_aug.evaluation.features import EfficientNetLiteFeatures
    from polyp_aug.evaluation.frames import CaptionedSet, evaluate_frames

    result = evaluate_frames(
        CaptionedSet(real, captions or captions_file(real)),
        CaptionedSet(train, train_captions or captions_file(train)),
        runs,
        out,
        extractor=EfficientNetLiteFeatures(),
        detector=_frame_detector(config, checkpoint) if config and checkpoint else None,
        seed=seed,
        observer=lambda name: errors.print(f"features of {name}", markup=False, highlight=False),
    )
    show_report(result.tables, out)


def _frame_detector(config: Path, checkpoint: Path) -> FrameDetector:
    from polyp_aug.evaluation.frames import FrameDetector
    from polyp_aug.integrations.mmdet.inference import detect_pictures, detector_facts

    return FrameDetector(partial(detect_pictures, config, checkpoint), detector_facts(config, checkpoint))


@app.command("ablation")
def ablation(
    weights: Annotated[str, typer.Option(help="What every arm starts from, as for `train polyp-gen`.")],
    data: Annotated[list[Path], typer.Option(help="Frames to train on, polyps with masks; once for each COCO set.")],
    validation: Annotated[list[Path], typer.Option(help="Frames to measure the loss on; once for each.")],
    backgrounds: Annotated[Path, typer.Option(help="Polyp-free frames of other patients to paint into.")],
    real: Annotated[Path, typer.Option(help="COCO set of real polyps that no arm has seen.")],
    train: Annotated[Path, typer.Option(help="COCO set of the real training polyps.")],
    out: Annotated[Path, typer.Option(help="Folder to write; what is done in it is not done again.")],
    steps: Annotated[int, typer.Option(help="Training steps of each arm.")] = 1000,
    batch_size: Annotated[int, typer.Option(help="Examples in a step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW; it falls along a cosine to a tenth.")] = 3e-4,
    warmup: Annotated[int, typer.Option(help="Steps in which the learning rate rises.")] = 100,
    ema: Annotated[float, typer.Option(help="Decay of the moving average.")] = 0.995,
    examples: Annotated[int, typer.Option(help="Different examples that are drawn.")] = 8000,
    polyp_frames: Annotated[float, typer.Option(help="Share of examples from frames with polyps.")] = 0.75,
    count: Annotated[int, typer.Option(help="Frames that each arm paints.")] = 150,
    steps_of_sampling: Annotated[int, typer.Option("--sampling-steps", help="Denoising steps, by dpm++.")] = 20,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
    mixed_precision: Annotated[str, typer.Option(help="no, bf16 or fp16.")] = "no",
    cache: Annotated[Path | None, typer.Option(help="Folder for latents; OUT/cache by default.")] = None,
    detector_config: Annotated[
        Path | None, typer.Option(help="Config of a detector whose recall is measured as well, of mmdet.")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Its weights.")] = None,
    detector_validation: Annotated[
        Path | None, typer.Option(help="COCO set of real polyps to choose its threshold on.")
    ] = None,
) -> None:
    """Train, paint and measure Polyp-Gen without BPM, without the lesion-guided loss, and without both."""
    recall = None
    if detector_config and checkpoint and detector_validation:
        recall = partial(_recall, detector_config, checkpoint, detector_validation, 8, "cpu", seed=seed)
    elif detector_config or checkpoint or detector_validation:
        raise typer.BadParameter("--detector-config, --checkpoint and --detector-validation belong together")
    from polyp_aug.evaluation.ablation import ablate
    from polyp_aug.evaluation.features import EfficientNetLiteFeatures
    from polyp_aug.synthesizers.options import PaintingOptions
    from polyp_aug.synthesizers.polyp_gen import load_inpainting_weights
    from polyp_aug.training.examples import ExampleSettings
    from polyp_aug.training.frames import read_frames
    from polyp_aug.training.loop import TrainingOptions
    from polyp_aug.training.polyp_gen import PolypGenConfig

    size = load_inpainting_weights(weights).native_size
    config = PolypGenConfig(
        examples=ExampleSettings(size=size, polyp_frames=polyp_frames, seed=seed),
        count=examples,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="cosine",
        warmup=warmup,
        ema=ema,
        seed=seed,
    )
    result = ablate(
        config,
        weights,
        read_frames(data),
        read_frames(validation),
        out,
        backgrounds=backgrounds,
        real=real,
        train=train,
        extractor=EfficientNetLiteFeatures(),
        count=count,
        painting=PaintingOptions(sampler="dpm++", num_inference_steps=steps_of_sampling),
        options=TrainingOptions(cache=cache or out / "cache", trackers=()),
        mixed_precision=mixed_precision,
        recall=recall,
        observer=lambda arm, progress: errors.print(
            f"{arm}: step {progress.step}/{progress.steps}  loss {progress.loss:.4f}", markup=False, highlight=False
        ),
    )
    show_report(result.tables, out / "report")


@app.command("branch-ablation")
def branch_ablation(
    weights: Annotated[
        str, typer.Option(help="What every arm starts from, as for `train ccis-diff`; a control branch is left out.")
    ],
    data: Annotated[list[Path], typer.Option(help="COCO sets with captions to train on; once for each.")],
    validation: Annotated[list[Path], typer.Option(help="The same, to measure the loss on.")],
    real: Annotated[Path, typer.Option(help="COCO set of real frames that no arm has seen, to make anew.")],
    train: Annotated[Path, typer.Option(help="COCO set of the real training frames with polyps.")],
    out: Annotated[Path, typer.Option(help="Folder to write; what is done in it is not done again.")],
    base: Annotated[str, typer.Option(help="Where the parts come from that the weights lack.")] = "",
    captions: Annotated[
        list[str] | None, typer.Option(help="SET=CAPTIONS, for each set whose captions don't stand beside it.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Of each repetition; 0, 1 and 2 if none is given.")] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the pictures in pixels; the weights' own by default.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Training steps of each arm.")] = 1000,
    batch_size: Annotated[int, typer.Option(help="Frames in a step.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW; it falls along a cosine to a tenth.")] = 1e-5,
    warmup: Annotated[int, typer.Option(help="Steps in which the learning rate rises.")] = 0,
    ema: Annotated[float, typer.Option(help="Decay of the moving average.")] = 0.995,
    examples: Annotated[int, typer.Option(help="Different examples that are drawn.")] = 4000,
    polyp_frames: Annotated[float | None, typer.Option(help="Share of examples from frames with polyps.")] = None,
    sampling_steps: Annotated[int, typer.Option(help="Denoising steps.")] = 20,
    guidance: Annotated[float, typer.Option(help="Weight of the caption.")] = 7.0,
    mask_guidance: Annotated[float, typer.Option(help="Weight of the mask; 1 is without.")] = 1.0,
    prompt_dropout: Annotated[float, typer.Option(help="Share of captions that are emptied.")] = 0.5,
    tone_weight: Annotated[float, typer.Option(help="Weight of a loss of the mean colour; the paper has none.")] = 0.0,
    small_text_encoder: Annotated[
        bool, typer.Option("--small-text-encoder", help="As in `train ccis-diff`: a new one for each arm.")
    ] = False,
    mixed_precision: Annotated[str, typer.Option(help="no, bf16 or fp16.")] = "no",
    cache: Annotated[Path | None, typer.Option(help="Folder for latents; OUT/cache by default.")] = None,
    detector_config: Annotated[
        Path | None, typer.Option(help="Config of a detector whose recall is measured as well, of mmdet.")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Its weights.")] = None,
    detector_validation: Annotated[
        Path | None, typer.Option(help="COCO set of real polyps to choose its threshold on.")
    ] = None,
) -> None:
    """Train, make and measure CCIS-Diff without blur weighting, without text-aware attention, and without both."""
    recall = None
    if detector_config and checkpoint and detector_validation:
        recall = partial(_recall, detector_config, checkpoint, detector_validation, 8, "cpu")
    elif detector_config or checkpoint or detector_validation:
        raise typer.BadParameter("--detector-config, --checkpoint and --detector-validation belong together")
    from polyp_aug.captions.dataset import captions_file
    from polyp_aug.evaluation.branch_ablation import BranchTraining, ablate_branch
    from polyp_aug.evaluation.features import EfficientNetLiteFeatures
    from polyp_aug.evaluation.frames import CaptionedSet
    from polyp_aug.synthesizers.ccis_diff.weights import BranchSettings, load_ccis_weights
    from polyp_aug.synthesizers.frame_options import FrameOptions
    from polyp_aug.training.captioned import read_captioned_frames
    from polyp_aug.training.ccis_diff import CCISDiffConfig
    from polyp_aug.training.loop import TrainingOptions

    given = {Path(key): path for key, path in _sets(captions or []).items()}

    def captioned(path: Path) -> CaptionedSet:
        return CaptionedSet(path, given.get(path) or captions_file(path))

    native = load_ccis_weights(weights, base=base or None, branch=BranchSettings(), renew=True).pipeline.native_size
    config = CCISDiffConfig(
        size=size or native,
        count=examples,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="cosine",
        warmup=warmup,
        prompt_dropout=prompt_dropout,
        polyp_frames=polyp_frames,
        tone_weight=tone_weight,
        ema=ema,
        text_encoder=small_text_encoder,
    )
    result = ablate_branch(
        BranchTraining(
            weights,
            base,
            config,
            read_captioned_frames(data, [captioned(path).captions for path in data]),
            read_captioned_frames(validation, [captioned(path).captions for path in validation]),
            TrainingOptions(cache=cache or out / "cache", trackers=(), save_every=100, sample_every=0),
            mixed_precision,
            small_text_encoder,
        ),
        out,
        real=captioned(real),
        train=captioned(train),
        making=FrameOptions(
            num_inference_steps=sampling_steps, guidance_scale=guidance, mask_guidance_scale=mask_guidance
        ),
        extractor=EfficientNetLiteFeatures(),
        seeds=seed or [0, 1, 2],
        recall=recall,
        detector=_frame_detector(detector_config, checkpoint) if detector_config and checkpoint else None,
        observer=lambda name, progress: errors.print(
            f"{name}: step {progress.step}/{progress.steps}  loss {progress.loss:.4f}", markup=False, highlight=False
        ),
    )
    show_report(result.tables, out)


@app.command("placement")
def placement(
    run: Annotated[Path, typer.Option(help="Run folder of `polyp-aug remove`: frames whose polyps were repainted.")],
    out: Annotated[Path, typer.Option(help="Folder for report.json and report.md.")],
    references: Annotated[
        Path | None, typer.Option(help="COCO set of real polyps with masks, of other frames: for `reference`.")
    ] = None,
    database: Annotated[Path | None, typer.Option(help="Reference database, of other frames: for `retrieval`.")] = None,
    decoys: Annotated[
        Path | None,
        typer.Option(help="Run folder of `polyp-aug remove` over RUN's frames: places without a polyp, repainted too."),
    ] = None,
    proposer: Annotated[
        list[str] | None,
        typer.Option(help="random, centre, reference or retrieval, once for each; all that the inputs allow if none."),
    ] = None,
    top: Annotated[int, typer.Option(help="Places that are asked for on each frame.")] = 3,
    iou: Annotated[float, typer.Option(help="Overlap with a removed polyp's box that makes a place a hit.")] = 0.2,
    repeats: Annotated[int, typer.Option(help="Times that each proposer is asked, by different keys.")] = 5,
    encoder: Annotated[
        str, typer.Option(help="The database's encoder, where it can't name it: a folder or org/name@commit.")
    ] = "",
    device: Annotated[str, typer.Option(help="Where the encoder runs: cpu, cuda, cuda:1.")] = "cpu",
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
) -> None:
    """Measure how often proposers find the places of polyps that were removed, beside random places."""
    from polyp_aug.evaluation.placement import PlacementSettings, evaluate_placement
    from polyp_aug.evaluation.placement_proposers import load_compared

    settings = PlacementSettings(top=top, iou=iou, repeats=repeats, seed=seed)
    compared = load_compared(proposer or (), references=references, database=database, encoder=encoder, device=device)
    with progress_bar("frames") as show:
        result = evaluate_placement(run, compared, out, decoys=decoys, settings=settings, observer=show)
    show_report(result.tables, out)
