"""`polyp-aug train`: the networks of the synthesizers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyp_aug.cli.detector import detector
from polyp_aug.cli.output import errors, output, parse_shares, progress_bar
from polyp_aug.training.schedule import ScheduleName

if TYPE_CHECKING:
    from polyp_aug.training.folder import TrainingProgress

app = typer.Typer(help="Train the synthesizers' networks on your own frames.", no_args_is_help=True)
app.command("detector")(detector)

Data = Annotated[
    list[Path],
    typer.Option(help="Frames to train on: a COCO data set, or a folder of frames without polyps; once for each."),
]
Validation = Annotated[list[Path], typer.Option(help="Frames to measure on, never trained on; the same forms.")]
Out = Annotated[Path, typer.Option(help="Folder for state, log and network. A training in it is resumed.")]
Seed = Annotated[int, typer.Option(help="The only source of randomness.")]
Precision = Annotated[str, typer.Option(help="no, bf16 or fp16.")]
Seconds = Annotated[float | None, typer.Option(help="Stop after so much time; the same command goes on.")]
SaveEvery = Annotated[int, typer.Option(help="Steps between two savings and measurements.")]
Half = Annotated[bool, typer.Option("--half", help="Write the network in half precision.")]


@app.command("autoencoder")
def autoencoder(
    data: Data,
    validation: Validation,
    out: Out,
    channels: Annotated[int, typer.Option(help="Channels of every layer.")] = 48,
    encoder_blocks: Annotated[str, typer.Option(help="Residual blocks at each scale, the finest first.")] = "1,2,2",
    decoder_blocks: Annotated[str, typer.Option(help="Residual blocks at each scale, the coarsest first.")] = "3,2,1",
    noise: Annotated[float, typer.Option(help="Standard deviation of the latents' posterior.")] = 0.05,
    size: Annotated[int, typer.Option(help="Side of the crops in pixels.")] = 128,
    batch_size: Annotated[int, typer.Option(help="Crops in a step.")] = 8,
    steps: Annotated[int, typer.Option(help="Steps in all.")] = 20_000,
    learning_rate: Annotated[float, typer.Option(help="At the start; it falls along a cosine to a tenth.")] = 6e-4,
    gradient_weight: Annotated[float, typer.Option(help="Weight of the differences of neighbouring pixels.")] = 1.0,
    colour_weight: Annotated[float, typer.Option(help="Weight of hue and saturation over cells of 8 pixels.")] = 1.0,
    perceptual_weight: Annotated[float, typer.Option(help="Weight of EfficientNet-Lite0's features.")] = 0.2,
    adversarial_weight: Annotated[
        float, typer.Option(help="Gradient of an adversary that looks for smooth texture, over all others'; 0: none.")
    ] = 0.0,
    decoder_only: Annotated[
        bool, typer.Option("--decoder-only", help="Leave the encoder of --init as it is: its latents stay valid.")
    ] = False,
    init: Annotated[Path | None, typer.Option(help="Autoencoder of the same form to start from.")] = None,
    seed: Seed = 0,
    mixed_precision: Precision = "no",
    seconds: Seconds = None,
    save_every: SaveEvery = 250,
    half: Half = False,
) -> None:
    """Train a small autoencoder for latent diffusion."""
    # torch takes seconds to import, and the other commands don't need it.
    from polyp_aug.training.autoencoder import AutoencoderConfig, train_autoencoder

    config = AutoencoderConfig(
        channels=channels,
        encoder_blocks=_numbers(encoder_blocks),
        decoder_blocks=_numbers(decoder_blocks),
        noise=noise,
        size=size,
        batch_size=batch_size,
        steps=steps,
        learning_rate=learning_rate,
        gradient_weight=gradient_weight,
        colour_weight=colour_weight,
        perceptual_weight=perceptual_weight,
        adversarial_weight=adversarial_weight,
        decoder_only=decoder_only,
        seed=seed,
        init=str(init or ""),
    )

    finished = train_autoencoder(
        config,
        data,
        validation,
        out,
        mixed_precision=mixed_precision,
        seconds=seconds,
        save_every=save_every,
        half=half,
        observer=_show,
    )
    text = f"Wrote {out / 'vae'}" + ("" if finished else "; time is up, the same command goes on")
    output.print(text, markup=False, highlight=False, soft_wrap=True)


@app.command("small-pipeline")
def small_pipeline(
    autoencoder: Annotated[Path, typer.Option(help="Folder of a trained autoencoder.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    channels: Annotated[str, typer.Option(help="Channels of the UNet's levels, the finest first.")] = "96,160,224",
    layers: Annotated[int, typer.Option(help="Residual layers in a level.")] = 1,
    text_channels: Annotated[int, typer.Option(help="Channels of the text encoder.")] = 64,
    size: Annotated[int, typer.Option(help="Side in pixels of the pictures that it will be trained on.")] = 128,
    seed: Seed = 0,
) -> None:
    """Write a small inpainting pipeline with random weights around an autoencoder, to be trained by polyp-gen."""
    from polyp_aug.synthesizers.diffusion.quiet import quiet
    from polyp_aug.training.small_pipeline import SmallPipelineConfig, build_small_pipeline

    config = SmallPipelineConfig(
        channels=_numbers(channels), layers=layers, text_channels=text_channels, size=size, seed=seed
    )
    with quiet():
        build_small_pipeline(config, autoencoder).save_pretrained(out)
    output.print(f"Wrote {out}", markup=False, highlight=False, soft_wrap=True)


@app.command("polyp-gen")
def polyp_gen(
    weights: Annotated[
        str, typer.Option(help="What to start from: a diffusers folder, or a hub id as org/name@commit.")
    ],
    data: Data,
    validation: Validation,
    out: Out,
    base: Annotated[str | None, typer.Option(help="Where the parts come from that the weights lack.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the crops in pixels; the weights' own by default.")] = None,
    steps: Annotated[int, typer.Option(help="Steps in all.")] = 20_000,
    batch_size: Annotated[int, typer.Option(help="Examples in a step.")] = 8,
    micro_batch: Annotated[int, typer.Option(help="Examples that go through the network at once; 0 for all.")] = 0,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW.")] = 1e-5,
    schedule: Annotated[
        ScheduleName, typer.Option(help="Of the learning rate: constant, or cosine down to a tenth.")
    ] = "constant",
    warmup: Annotated[int, typer.Option(help="Steps in which the learning rate rises.")] = 0,
    lesion_weight: Annotated[float, typer.Option(help="Weight of the lesion-guided loss; 0 is without.")] = 0.5,
    snr_gamma: Annotated[
        float | None, typer.Option(help="γ of min-SNR weights: less weight on what is nearly free of noise.")
    ] = None,
    adversarial_weight: Annotated[
        float, typer.Option(help="Gradient of an adversary that looks for smooth texture, over the rest's; 0: none.")
    ] = 0.0,
    prediction_type: Annotated[str, typer.Option(help="epsilon or v_prediction; the weights' own by default.")] = "",
    prompt_dropout: Annotated[float, typer.Option(help="Share of examples without a prompt, for guidance.")] = 0.1,
    ema: Annotated[float, typer.Option(help="Decay of the moving average.")] = 0.999,
    lora_rank: Annotated[int, typer.Option(help="Train a LoRA adapter of this rank; 0 trains the whole UNet.")] = 0,
    examples: Annotated[int, typer.Option(help="Different examples that are drawn.")] = 20_000,
    polyp_frames: Annotated[
        float | None, typer.Option(help="Share of examples from frames with polyps; as many as there are by default.")
    ] = None,
    polyp_share: Annotated[float, typer.Option(help="Of those, share whose prompt is Polyp.")] = 0.6,
    box_share: Annotated[float, typer.Option(help="Share of polyps' masks that are boxes, not polygons.")] = 0.5,
    mask_sides: Annotated[str, typer.Option(help="Sides of masks of normal mucosa, in pixels at 512.")] = "30-200",
    mucosa_share: Annotated[float, typer.Option(help="Least share of mucosa in masks of normal mucosa.")] = 0.0,
    outline_masks: Annotated[
        bool, typer.Option("--outline-masks", help="The polyps' own outlines for masks: the ablation without BPM.")
    ] = False,
    context: Annotated[str, typer.Option(help="Side of the crop over the longer side of the mask.")] = "1.2-3.0",
    cache: Annotated[
        Path | None, typer.Option(help="Folder for latents, which trainings share; OUT/cache by default.")
    ] = None,
    cached: Annotated[bool, typer.Option(help="Keep latents on disk; without, every batch is encoded anew.")] = True,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory, more time.")
    ] = False,
    trackers: Annotated[
        list[str] | None, typer.Option("--tracker", help="tensorboard, wandb, mlflow, none; give it once for each.")
    ] = None,
    sample_every: Annotated[int, typer.Option(help="Steps between two sheets of samples; 0 for none.")] = 1000,
    seed: Seed = 0,
    mixed_precision: Precision = "no",
    seconds: Seconds = None,
    save_every: SaveEvery = 250,
    half: Half = False,
) -> None:
    """Train a model to paint polyps and to remove them: Polyp-Gen."""
    from polyp_aug.synthesizers.polyp_gen.weights import load_inpainting_weights
    from polyp_aug.training.examples import ExampleSettings
    from polyp_aug.training.frames import read_frames
    from polyp_aug.training.loop import TrainingOptions
    from polyp_aug.training.polyp_gen import PolypGenConfig, train_polyp_gen
    from polyp_aug.training.pseudo_masks import PseudoMaskSettings

    loaded = load_inpainting_weights(weights, base=base)
    masks = PseudoMaskSettings(
        polyp_share=polyp_share, box_share=box_share, sides=parse_shares(mask_sides), mucosa_share=mucosa_share
    )
    drawn = ExampleSettings(
        size=size or loaded.native_size,
        masks=masks,
        polyp_frames=polyp_frames,
        outlines=outline_masks,
        context=parse_shares(context),
        seed=seed,
    )
    config = PolypGenConfig(
        examples=drawn,
        count=examples,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup=warmup,
        lesion_weight=lesion_weight,
        snr_gamma=snr_gamma,
        adversarial_weight=adversarial_weight,
        prompt_dropout=prompt_dropout,
        prediction_type=prediction_type,
        ema=ema,
        lora_rank=lora_rank,
        seed=seed,
    )
    options = TrainingOptions(
        micro_batch=micro_batch,
        cache=(cache or out / "cache") if cached else None,
        seconds=seconds,
        save_every=save_every,
        sample_every=sample_every,
        gradient_checkpointing=gradient_checkpointing,
        trackers=tuple(name for name in trackers or ["tensorboard"] if name != "none"),
        half=half,
    )
    with progress_bar("encoded") as show:
        finished = train_polyp_gen(
            config,
            loaded,
            read_frames(data),
            read_frames(validation),
            out,
            options=options,
            mixed_precision=mixed_precision,
            observer=_show,
            cache_observer=show,
        )
    text = f"Wrote {out / 'pipeline'}" + ("" if finished else "; time is up, the same command goes on")
    output.print(text, markup=False, highlight=False, soft_wrap=True)


@app.command("ccis-diff")
def ccis_diff(
    weights: Annotated[
        str,
        typer.Option(
            help="What to start from: a diffusers folder of Stable Diffusion 1.5, of an inpainting model, or of "
            "CCIS-Diff, or a hub id as org/name@commit."
        ),
    ],
    data: Annotated[list[Path], typer.Option(help="COCO data set with captions to train on; once for each.")],
    validation: Annotated[list[Path], typer.Option(help="The same, to measure on, never trained on.")],
    out: Out,
    base: Annotated[str | None, typer.Option(help="Where the parts come from that the weights lack.")] = None,
    captions: Annotated[
        list[Path] | None, typer.Option(help="Caption file of each --data, in order; beside it by default.")
    ] = None,
    validation_captions: Annotated[
        list[Path] | None, typer.Option(help="Caption file of each --validation, in order; beside it by default.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the pictures in pixels; the weights' own by default.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps in all.")] = 20_000,
    batch_size: Annotated[int, typer.Option(help="Frames in a step.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW.")] = 1e-5,
    schedule: Annotated[
        ScheduleName, typer.Option(help="Of the learning rate: constant, or cosine down to a tenth.")
    ] = "constant",
    warmup: Annotated[int, typer.Option(help="Steps in which the learning rate rises.")] = 0,
    prompt_dropout: Annotated[float, typer.Option(help="Share of captions that are emptied.")] = 0.5,
    polyp_frames: Annotated[
        float | None, typer.Option(help="Share of examples from frames with polyps; as many as there are by default.")
    ] = None,
    mirror: Annotated[bool, typer.Option(help="Mirror frames, and left and right in their captions.")] = True,
    lesion_weight: Annotated[float, typer.Option(help="Weight of a lesion-guided loss; the paper has none.")] = 0.0,
    tone_weight: Annotated[
        float, typer.Option(help="Weight of a loss of the mean colour of polyps and mucosa; the paper has none.")
    ] = 0.0,
    snr_gamma: Annotated[
        float | None, typer.Option(help="γ of min-SNR weights: less weight on what is nearly free of noise.")
    ] = None,
    ema: Annotated[float, typer.Option(help="Decay of the moving average.")] = 0.999,
    blur_mask: Annotated[bool, typer.Option(help="With blur mask weighting.")] = True,
    text_aware: Annotated[bool, typer.Option(help="With text-aware attention.")] = True,
    blur_share: Annotated[float, typer.Option(help="Standard deviation of the blur over the polyp's diameter.")] = 0.04,
    new_branch: Annotated[
        bool, typer.Option("--new-branch", help="Begin with a new control branch, though the weights have one.")
    ] = False,
    small_text_encoder: Annotated[
        bool,
        typer.Option(
            "--small-text-encoder",
            help="Begin with a small text encoder that has the words of the template captions, and train it too.",
        ),
    ] = False,
    train_text_encoder: Annotated[
        bool, typer.Option("--train-text-encoder", help="Train the text encoder of the weights too.")
    ] = False,
    examples: Annotated[int, typer.Option(help="Different examples that are drawn.")] = 20_000,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for latents, which trainings share; OUT/cache by default.")
    ] = None,
    cached: Annotated[bool, typer.Option(help="Keep latents on disk; without, every batch is encoded anew.")] = True,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory, more time.")
    ] = False,
    trackers: Annotated[
        list[str] | None, typer.Option("--tracker", help="tensorboard, wandb, mlflow, none; give it once for each.")
    ] = None,
    sample_every: Annotated[int, typer.Option(help="Steps between two sheets of samples; 0 for none.")] = 1000,
    sample_steps: Annotated[int, typer.Option(help="Denoising steps of a sheet.")] = 20,
    sample_guidance: Annotated[float, typer.Option(help="Guidance of a sheet.")] = 7.0,
    seed: Seed = 0,
    mixed_precision: Precision = "no",
    seconds: Seconds = None,
    save_every: SaveEvery = 250,
    half: Half = False,
) -> None:
    """Train a model to make whole frames from masks and captions: CCIS-Diff."""
    from polyp_aug.synthesizers.ccis_diff.weights import BranchSettings, load_ccis_weights
    from polyp_aug.training.captioned import read_captioned_frames
    from polyp_aug.training.ccis_diff import CCISDiffConfig, SheetSampling, train_ccis_diff
    from polyp_aug.training.loop import TrainingOptions
    from polyp_aug.training.small_text_encoder import give_small_text_encoder

    branch = BranchSettings(blur_mask=blur_mask, text_aware=text_aware, blur_share=blur_share, seed=seed)
    loaded = load_ccis_weights(weights, base=base, branch=branch, renew=new_branch)
    if small_text_encoder:
        give_small_text_encoder(loaded.pipeline, seed=seed)
    config = CCISDiffConfig(
        size=size or loaded.pipeline.native_size,
        count=examples,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup=warmup,
        prompt_dropout=prompt_dropout,
        polyp_frames=polyp_frames,
        mirror=mirror,
        lesion_weight=lesion_weight,
        tone_weight=tone_weight,
        snr_gamma=snr_gamma,
        ema=ema,
        text_encoder=small_text_encoder or train_text_encoder,
        seed=seed,
    )
    options = TrainingOptions(
        cache=(cache or out / "cache") if cached else None,
        seconds=seconds,
        save_every=save_every,
        sample_every=sample_every,
        gradient_checkpointing=gradient_checkpointing,
        trackers=tuple(name for name in trackers or ["tensorboard"] if name != "none"),
        half=half,
    )
    with progress_bar("encoded") as show:
        finished = train_ccis_diff(
            config,
            loaded,
            read_captioned_frames(data, captions or ()),
            read_captioned_frames(validation, validation_captions or ()),
            out,
            options=options,
            sampling=SheetSampling(sample_steps, sample_guidance),
            mixed_precision=mixed_precision,
            observer=_show,
            cache_observer=show,
        )
    text = f"Wrote {out / 'pipeline'}" + ("" if finished else "; time is up, the same command goes on")
    output.print(text, markup=False, highlight=False, soft_wrap=True)


def _show(progress: TrainingProgress) -> None:
    measures = "".join(f"  {name} {value:.4f}" for name, value in progress.measures.items())
    text = f"step {progress.step}/{progress.steps}  loss {progress.loss:.4f}{measures}"
    errors.print(text, markup=False, highlight=False)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"expected numbers such as 1,2,2 (got {text!r})") from None
