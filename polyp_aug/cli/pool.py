"""`polyp-aug pool` and `polyp-aug refresh`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.generate import BACKGROUNDS_HELP, Database, Encoder, PolypsPerImage, ProposerName, References, Seed
from polyp_aug.cli.output import errors, output, parse_range
from polyp_aug.cli.painting import (
    Base,
    Device,
    Dtype,
    Guidance,
    Lora,
    Sampler,
    Steps,
    Strength,
    SynthesizerName,
    Weights,
    painting_options,
)
from polyp_aug.cli.parent import when_input_closes
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.pool import PoolWriter
from polyp_aug.pool.refresh import RefreshState
from polyp_aug.pool.refresh import refresh as refresh_pool


def pool(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, of `generate` or `remove`.")],
    out: Annotated[Path, typer.Option(help="Folder of the pool. What is new is added to it.")],
) -> None:
    """Cut out what runs painted or removed, for transforms to lay over their frames."""
    with PoolWriter(out) as writer:
        added = sum(writer.add_run(run) for run in runs)
        size = len(writer.variants)
    output.print(f"{added} variants added to {out}, which holds {size}", markup=False, highlight=False, soft_wrap=True)


def refresh(
    pool: Annotated[Path, typer.Argument(help="Folder of the pool.")],
    backgrounds: Annotated[Path, typer.Option(help=BACKGROUNDS_HELP)],
    references: References = None,
    capacity: Annotated[int, typer.Option(min=1, help="Variants that are kept, the newest ones.")] = 1000,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds to make; without it, it goes on.")] = None,
    until_input_closes: Annotated[
        bool, typer.Option("--until-input-closes", help="Stop when standard input ends, as it does with its parent.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples of a round.")] = 8,
    polyps_per_image: PolypsPerImage = "1",
    synthesizer: SynthesizerName = "transplant",
    proposer: ProposerName = "random",
    seed: Seed = 0,
    database: Database = None,
    encoder: Encoder = "",
    weights: Weights = None,
    base: Base = None,
    lora: Lora = None,
    device: Device = None,
    dtype: Dtype = None,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Guidance = None,
    strength: Strength = None,
) -> None:
    """Renew a pool while a detector trains: paint new variants, retire the oldest."""
    config = GenerateConfig(
        backgrounds=backgrounds,
        references=references,
        count=1,
        polyps_per_image=parse_range(polyps_per_image),
        synthesizer=synthesizer,
        proposer=proposer,
        seed=seed,
        database=database,
        encoder=encoder,
        batch_size=batch_size,
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
            mode=None,
            compiled=False,
            channels_last=False,
            safety_checker=False,
        ),
    )
    closed = threading.Event()
    if until_input_closes:
        when_input_closes(closed.set)
    try:
        state = refresh_pool(config, pool, capacity=capacity, rounds=rounds, stop=closed.is_set, observer=_tell)
    except KeyboardInterrupt:
        errors.print("Interrupted. The pool is whole, and the same command goes on with it.", markup=False)
        raise typer.Exit(130) from None
    output.print(_text(state), markup=False, highlight=False, soft_wrap=True)


def _tell(state: RefreshState) -> None:
    errors.print(_text(state), markup=False, highlight=False, soft_wrap=True)


def _text(state: RefreshState) -> str:
    return f"round {state.rounds}: {state.added} added, {state.retired} retired, {state.size} in the pool"
