"""`polyp-aug train`: the networks of the synthesizers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import errors, output

app = typer.Typer(help="Train the synthesizers' networks on your own frames.", no_args_is_help=True)


@app.command("autoencoder")
def autoencoder(
    data: Annotated[
        list[Path], typer.Option(help="Frames to train on: a folder or COCO data set; give it once for each.")
    ],
    validation: Annotated[list[Path], typer.Option(help="Frames to measure on, never trained on; the same forms.")],
    out: Annotated[Path, typer.Option(help="Folder for state, log and network. A training in it is resumed.")],
    channels: Annotated[str, typer.Option(help="Channels of the levels, the finest first.")] = "32,64,96",
    layers: Annotated[int, typer.Option(help="Residual layers in a level.")] = 1,
    attention: Annotated[bool, typer.Option("--attention", help="Let the coarsest level attend to itself.")] = False,
    size: Annotated[int, typer.Option(help="Side of the crops in pixels.")] = 128,
    batch_size: Annotated[int, typer.Option(help="Crops in a step.")] = 8,
    steps: Annotated[int, typer.Option(help="Steps in all.")] = 20_000,
    learning_rate: Annotated[float, typer.Option(help="At the start; it falls along a cosine to a tenth.")] = 6e-4,
    gradient_weight: Annotated[float, typer.Option(help="Weight of the differences of neighbouring pixels.")] = 1.0,
    colour_weight: Annotated[float, typer.Option(help="Weight of hue and saturation over cells of 8 pixels.")] = 4.0,
    perceptual_weight: Annotated[float, typer.Option(help="Weight of EfficientNet-Lite0's features.")] = 0.2,
    init: Annotated[Path | None, typer.Option(help="Autoencoder of the same form to start from.")] = None,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
    mixed_precision: Annotated[str, typer.Option(help="no, bf16 or fp16.")] = "no",
    seconds: Annotated[float | None, typer.Option(help="Stop after so much time; the same command goes on.")] = None,
    save_every: Annotated[int, typer.Option(help="Steps between two savings and measurements.")] = 250,
    half: Annotated[bool, typer.Option("--half", help="Write the network in half precision.")] = False,
) -> None:
    """Train a small KL autoencoder for latent diffusion."""
    # torch takes seconds to import, and the other commands don't need it.
    from polyp_aug.training.autoencoder import AutoencoderConfig, TrainingProgress, train_autoencoder

    config = AutoencoderConfig(
        channels=_numbers(channels),
        layers=layers,
        attention=attention,
        size=size,
        batch_size=batch_size,
        steps=steps,
        learning_rate=learning_rate,
        gradient_weight=gradient_weight,
        colour_weight=colour_weight,
        perceptual_weight=perceptual_weight,
        seed=seed,
        init=str(init or ""),
    )

    def show(progress: TrainingProgress) -> None:
        text = f"step {progress.step}/{progress.steps}  loss {progress.loss:.4f}  PSNR {progress.psnr:.2f} dB"
        errors.print(text, markup=False, highlight=False)

    finished = train_autoencoder(
        config,
        data,
        validation,
        out,
        mixed_precision=mixed_precision,
        seconds=seconds,
        save_every=save_every,
        half=half,
        observer=show,
    )
    text = f"Wrote {out / 'vae'}" + ("" if finished else "; time is up, the same command goes on")
    output.print(text, markup=False, highlight=False, soft_wrap=True)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"expected numbers such as 32,64,96 (got {text!r})") from None
