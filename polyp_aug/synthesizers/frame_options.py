"""Settings of the synthesizer that makes whole frames. Importing this imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from polyp_aug.errors import ConfigurationError
from polyp_aug.synthesizers.options import Dtype, SamplerName, Sampling, check_device, device_kind, resolve

#: Name of the weights that come with the package.
EMBEDDED_FRAME_WEIGHTS = "ccis_diff_mini"

#: Steps of ddim, guidance by the caption and by the mask: the paper's, and those for the weights that come with the
#: package, whose UNet was trained to have texture after few steps, and whose branch was trained for a short time.
FRAME_STEPS, FRAME_GUIDANCE, FRAME_MASK_GUIDANCE = 20, 7.0, 1.0
EMBEDDED_FRAME_STEPS, EMBEDDED_FRAME_GUIDANCE, EMBEDDED_FRAME_MASK_GUIDANCE = 4, 2.0, 2.0


@dataclass(frozen=True)
class FrameOptions:
    """What `ccis_diff` is loaded from, and how it makes frames.

    Attributes:
        weights: a folder of `CCISDiffPipeline` or `org/name@commit`; "" takes those of the package.
        base: the same for the parts that `weights` lacks; "" where it lacks none.
        device: "cpu", "cuda", "cuda:1", "mps"; "auto" is cuda where torch has it, else cpu.
        dtype: "float32", "float16", "bfloat16"; "auto" is float16 on cuda, else float32.
        sampler: "ddim" (the paper's) or "dpm++".
        num_inference_steps: denoising steps; None takes 20, or `EMBEDDED_FRAME_STEPS` with the weights of the package.
        guidance_scale: weight of the caption; None takes 7, or `EMBEDDED_FRAME_GUIDANCE` with the weights of the
            package.
        mask_guidance_scale: weight of the mask against an empty one, see `CCISDiffPipeline`; None takes 1, which is
            without, as in the paper, or `EMBEDDED_FRAME_MASK_GUIDANCE` with the weights of the package.
        size: side of the frames in pixels; None takes the one that the weights were trained at.
        batch_size: frames that are made together.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    weights: str = ""
    base: str = ""
    device: str = "auto"
    dtype: Dtype = "auto"
    sampler: SamplerName = "ddim"
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    mask_guidance_scale: float | None = None
    size: int | None = None
    batch_size: int = 8

    def __post_init__(self) -> None:
        check_device(self.device, self.dtype)
        if self.sampler == "lcm":
            raise ConfigurationError("'sampler' must be ddim or dpm++ for whole frames (got 'lcm')")
        for name in ("size", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name!r} must be at least 1 (got {value})")
        self.sampling.to_dict()
        if not self.mask_guidance >= 0.0:
            raise ConfigurationError(f"'mask_guidance_scale' must not be negative (got {self.mask_guidance})")

    @property
    def sampling(self) -> Sampling:
        """The part that says how the model is sampled."""
        steps, guidance = self.num_inference_steps, self.guidance_scale
        if steps is None and self.sampler == "ddim":
            steps = FRAME_STEPS if self.weights else EMBEDDED_FRAME_STEPS
        if guidance is None:
            guidance = FRAME_GUIDANCE if self.weights else EMBEDDED_FRAME_GUIDANCE
        return Sampling(self.sampler, steps, guidance)

    @property
    def mask_guidance(self) -> float:
        """Weight of the mask."""
        if self.mask_guidance_scale is not None:
            return self.mask_guidance_scale
        return FRAME_MASK_GUIDANCE if self.weights else EMBEDDED_FRAME_MASK_GUIDANCE

    def resolved(self) -> FrameOptions:
        """The same, with what this machine has in the place of "auto". Imports torch.

        Raises:
            ConfigurationError: torch has no such device.
            MissingDependencyError: torch is not installed.
        """
        device, dtype = resolve(self.device, self.dtype)
        return replace(self, device=device, dtype=dtype)

    def to_dict(self) -> dict[str, Any]:
        """What decides the picture besides the weights, in JSON types; the weights are named by their revision."""
        sampling = self.sampling.to_dict()
        del sampling["strength"]
        return {
            **sampling,
            "mask_guidance_scale": self.mask_guidance,
            **({"size": self.size} if self.size else {}),
            "batch_size": self.batch_size,
            "device": device_kind(self.device),
            "dtype": self.dtype,
        }
