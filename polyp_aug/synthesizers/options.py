"""Settings of the synthesizers that paint with a diffusion model. Importing this imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from polyp_aug.errors import ConfigurationError
from polyp_aug.optional import require

SamplerName = Literal["ddim", "dpm++", "lcm"]
Dtype = Literal["auto", "float32", "float16", "bfloat16"]

#: The prompt for mucosa without a polyp.
NORMAL = "Normal"

#: Pixels, in a frame whose longer side has 512, by which the boxes of polyps are grown to the masks that Polyp-Gen is
#: trained with. So it leaves an edge of mucosa in a mask.
MASK_MARGIN = 15.0

#: Name of the weights that come with the package.
EMBEDDED_WEIGHTS = "polyp_gen_mini"

#: Sampler → its usual number of steps.
SAMPLER_STEPS: Mapping[str, int] = {"ddim": 50, "dpm++": 20, "lcm": 4}

#: Steps of ddim with the weights that come with the package. Sampling ends with what is most likely at the noise of the
#: last step; with more steps that is too little noise, and details are drawn that these small weights know nothing of.
EMBEDDED_STEPS = 4

#: Weight of the prompt, and the same with the weights that come with the package.
GUIDANCE = 2.5
EMBEDDED_GUIDANCE = 4.0

DTYPES = ("auto", "float32", "float16", "bfloat16")
MODES = ("crop", "frame")

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True)
class Sampling:
    """How a diffusion model is sampled.

    Attributes:
        sampler: "ddim" (the paper's), "dpm++", or "lcm" for weights that were distilled for few steps.
        num_inference_steps: denoising steps; None takes the sampler's usual number: 50, 20 and 4.
        guidance_scale: weight of the prompt against the empty one; 1 switches guidance off and halves the time.
        strength: share of the noise schedule that is run; below 1 painting starts from a transplant.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    sampler: SamplerName = "ddim"
    num_inference_steps: int | None = None
    guidance_scale: float = GUIDANCE
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLER_STEPS:
            raise ConfigurationError(f"'sampler' must be one of {', '.join(SAMPLER_STEPS)} (got {self.sampler!r})")
        if self.num_inference_steps is not None and self.num_inference_steps < 1:
            raise ConfigurationError(f"'num_inference_steps' must be at least 1 (got {self.num_inference_steps})")
        if self.sampler == "lcm" and self.steps > 50:
            raise ConfigurationError(f"'num_inference_steps' must be at most 50 for lcm (got {self.steps})")
        if self.guidance_scale < 1.0:
            raise ConfigurationError(f"'guidance_scale' must be at least 1 (got {self.guidance_scale})")
        if not 0.0 < self.strength <= 1.0 or int(self.steps * self.strength) < 1:
            raise ConfigurationError(
                f"'strength' must be within (0, 1] and leave a step of {self.steps} (got {self.strength})"
            )

    @property
    def steps(self) -> int:
        """Number of denoising steps of a full run."""
        return self.num_inference_steps or SAMPLER_STEPS[self.sampler]

    def to_dict(self) -> dict[str, Any]:
        """For the provenance, in JSON types."""
        return {
            "sampler": self.sampler,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance_scale,
            "strength": self.strength,
        }


@dataclass(frozen=True)
class PaintingOptions:
    """What a diffusion synthesizer is loaded from, and how it paints.

    Attributes:
        weights: a folder, a file or `org/name@commit`, see `polyp_gen.weights`; "" takes those of the package.
        base: a diffusers folder or `org/name@commit` for the parts that `weights` lacks; "" where it lacks none.
        lora: folder or safetensors file of LoRA weights to fuse into the model, LCM-LoRA for example; "" for none.
        device: "cpu", "cuda", "cuda:1", "mps"; "auto" is cuda where torch has it, else cpu.
        dtype: "float32", "float16", "bfloat16"; "auto" is float16 on cuda, else float32.
        sampler: see `Sampling`.
        num_inference_steps: see `Sampling`; with ddim and the weights of the package None takes `EMBEDDED_STEPS`.
        guidance_scale: see `Sampling`; with the weights of the package None takes `EMBEDDED_GUIDANCE`, else `GUIDANCE`.
        strength: see `Sampling`.
        mode: "crop" shows the model a square around the place, "frame" the whole frame.
        context: in crop mode, side of the square over the longer side of the place.
        size: side in pixels at which the model works; None takes the one that it was trained at.
        batch_size: places that are painted together.
        compile: compile the UNet, which takes minutes and pays in long runs.
        channels_last: keep the pictures' channels innermost in memory, which is faster on many processors.
        safety_checker: keep the weights' safety checker, which blacks out many medical pictures.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    weights: str = ""
    base: str = ""
    lora: str = ""
    device: str = "auto"
    dtype: Dtype = "auto"
    sampler: SamplerName = "ddim"
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    strength: float = 1.0
    mode: Literal["crop", "frame"] = "crop"
    context: float = 1.5
    size: int | None = None
    batch_size: int = 8
    compile: bool = False
    channels_last: bool = False
    safety_checker: bool = False

    def __post_init__(self) -> None:
        check_device(self.device, self.dtype)
        if self.mode not in MODES:
            raise ConfigurationError(f"'mode' must be one of {', '.join(MODES)} (got {self.mode!r})")
        if self.context < 1.0:
            raise ConfigurationError(f"'context' must be at least 1 (got {self.context})")
        for name in ("size", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name!r} must be at least 1 (got {value})")
        self.sampling.to_dict()

    @property
    def sampling(self) -> Sampling:
        """The part that says how the model is sampled."""
        steps = self.num_inference_steps
        if steps is None and self.sampler == "ddim" and not self.weights:
            steps = EMBEDDED_STEPS
        guidance = self.guidance_scale
        if guidance is None:
            guidance = GUIDANCE if self.weights else EMBEDDED_GUIDANCE
        return Sampling(self.sampler, steps, guidance, self.strength)

    def removing(self) -> PaintingOptions:
        """The same for the removal of polyps, where the weights of the package need no guidance if none is given."""
        return self if self.weights or self.guidance_scale is not None else replace(self, guidance_scale=1.0)

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the settings that differ from their defaults."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) != field.default)

    def resolved(self) -> PaintingOptions:
        """The same, with what this machine has in the place of "auto". Imports torch.

        Raises:
            ConfigurationError: torch has no such device.
            MissingDependencyError: torch is not installed.
        """
        device, dtype = resolve(self.device, self.dtype)
        return replace(self, device=device, dtype=dtype)

    def to_dict(self) -> dict[str, Any]:
        """What decides the picture besides the weights, in JSON types; the weights are named by their revision."""
        return {
            **self.sampling.to_dict(),
            "mode": self.mode,
            **({"context": self.context} if self.mode == "crop" else {}),
            **({"size": self.size} if self.size else {}),
            "batch_size": self.batch_size,
            "device": device_kind(self.device),
            "dtype": self.dtype,
            "compile": self.compile,
            "channels_last": self.channels_last,
            "safety_checker": self.safety_checker,
        }


def check_device(device: str, dtype: str) -> None:
    """Raise where one of them has no such name.

    Raises:
        ConfigurationError: it is neither.
    """
    if not _DEVICE.fullmatch(device):
        raise ConfigurationError(f"'device' must be auto, cpu, cuda, cuda:N or mps (got {device!r})")
    if dtype not in DTYPES:
        raise ConfigurationError(f"'dtype' must be one of {', '.join(DTYPES)} (got {dtype!r})")


def resolve(device: str, dtype: Dtype) -> tuple[str, Dtype]:
    """Device and dtype with what this machine has in the place of "auto". Imports torch.

    Raises:
        ConfigurationError: torch has no such device.
        MissingDependencyError: torch is not installed.
    """
    torch = require("torch", "diffusion")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = device_kind(device)
    available = {
        "cpu": True,
        "cuda": torch.cuda.device_count() > int(device.partition(":")[2] or 0),
        "mps": torch.backends.mps.is_available(),
    }
    if not available[kind]:
        raise ConfigurationError(f"'device' is {device}, and torch finds no such device")
    if dtype == "auto":
        dtype = "float16" if kind == "cuda" else "float32"
    return device, dtype


def device_kind(device: str) -> str:
    """A device without its number."""
    return device.partition(":")[0]
