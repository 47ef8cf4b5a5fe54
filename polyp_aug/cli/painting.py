"""Options of all commands that paint with a diffusion model."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from polyp_aug.synthesizers.options import DTYPES, MODES, SAMPLER_STEPS, PaintingOptions
from polyp_aug.synthesizers.registry import CCIS_DIFF, POLYP_GEN, parse_synthesizer, synthesizer_names

PANEL = f"Painting with diffusion ({POLYP_GEN})"

SynthesizerName = Annotated[
    str,
    typer.Option(
        help=f"What paints: {', '.join(synthesizer_names())}; weights (see --weights) mean {POLYP_GEN}. "
        f"{CCIS_DIFF}, or a folder of its weights, makes whole frames."
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="Inpainting weights: a diffusers folder, a checkpoint, a .safetensors file, or org/name@commit.",
        rich_help_panel=PANEL,
    ),
]
Base = Annotated[
    str | None,
    typer.Option(help="Folder or org/name@commit for the parts that the weights lack.", rich_help_panel=PANEL),
]
Lora = Annotated[
    str | None, typer.Option(help="LoRA weights to fuse: a .safetensors file or its folder.", rich_help_panel=PANEL)
]
Device = Annotated[
    str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps; auto by default.", rich_help_panel=PANEL)
]
Dtype = Annotated[
    str | None,
    typer.Option(help=f"{', '.join(DTYPES)}; by default auto: float16 on cuda, else float32.", rich_help_panel=PANEL),
]
Sampler = Annotated[
    str | None, typer.Option(help=f"{', '.join(SAMPLER_STEPS)}; ddim by default.", rich_help_panel=PANEL)
]
Steps = Annotated[
    int | None,
    typer.Option(
        help=f"Denoising steps; {', '.join(str(steps) for steps in SAMPLER_STEPS.values())} by default.",
        rich_help_panel=PANEL,
    ),
]
Guidance = Annotated[
    float | None,
    typer.Option(
        help="Weight of the prompt, 2.5 by default (4 with the package's weights); 1 takes half the time.",
        rich_help_panel=PANEL,
    ),
]
Strength = Annotated[
    float | None,
    typer.Option(help="Below 1, painting starts from a transplant, which needs references.", rich_help_panel=PANEL),
]
Mode = Annotated[
    str | None,
    typer.Option(
        help=f"{' or '.join(MODES)}: what the model sees; crop, a square around the place, by default.",
        rich_help_panel=PANEL,
    ),
]
Compile = Annotated[
    bool, typer.Option("--compile", help="Compile the UNet; pays in long runs only.", rich_help_panel=PANEL)
]
ChannelsLast = Annotated[
    bool, typer.Option("--channels-last", help="Another order in memory, often faster.", rich_help_panel=PANEL)
]
SafetyChecker = Annotated[
    bool,
    typer.Option("--safety-checker", help="Keep it; it blacks out many medical pictures.", rich_help_panel=PANEL),
]


def painting_options(
    synthesizer: str,
    *,
    batch_size: int = 8,
    weights: str | None,
    base: str | None,
    lora: str | None,
    device: str | None,
    dtype: str | None,
    sampler: str | None,
    steps: int | None,
    guidance: float | None,
    strength: float | None,
    mode: str | None,
    compiled: bool,
    channels_last: bool,
    safety_checker: bool,
) -> PaintingOptions | None:
    """The options that the flags make; None where no flag is given and the synthesizer reads none.

    Args:
        synthesizer: name or weights.
        batch_size: places that are painted together.

    Raises:
        ConfigurationError: the synthesizer is unknown, or a value is out of its range.
    """
    flags: dict[str, Any] = {
        "weights": weights,
        "base": base,
        "lora": lora,
        "device": device,
        "dtype": dtype,
        "sampler": sampler,
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        "strength": strength,
        "mode": mode,
        "compile": compiled or None,
        "channels_last": channels_last or None,
        "safety_checker": safety_checker or None,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    if not given and parse_synthesizer(synthesizer)[0] != POLYP_GEN:
        return None
    return PaintingOptions(batch_size=batch_size, **given)
