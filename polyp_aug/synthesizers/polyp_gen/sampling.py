"""How a diffusion model is sampled: scheduler, steps, guidance, strength."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, LCMScheduler, SchedulerMixin

from polyp_aug.errors import ConfigurationError

SamplerName = Literal["ddim", "dpm++", "lcm"]

#: Sampler → (scheduler class, its own settings, usual number of steps).
SAMPLERS: dict[str, tuple[type[SchedulerMixin], dict[str, Any], int]] = {
    "ddim": (DDIMScheduler, {"clip_sample": False}, 50),
    "dpm++": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "use_karras_sigmas": False}, 20),
    "lcm": (LCMScheduler, {}, 4),
}


@dataclass(frozen=True)
class Sampling:
    """Settings of the sampling.

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
    guidance_scale: float = 2.5
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ConfigurationError(f"'sampler' must be one of {', '.join(SAMPLERS)} (got {self.sampler!r})")
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
        return self.num_inference_steps or SAMPLERS[self.sampler][2]

    def scheduler(self, config: Any) -> SchedulerMixin:
        """The scheduler, with everything that the weights' own configuration says of training: betas, prediction type.

        Args:
            config: configuration of the scheduler that came with the weights.
        """
        cls, own, _ = SAMPLERS[self.sampler]
        return cls.from_config(config, **own)

    def to_dict(self) -> dict[str, Any]:
        """For the provenance, in JSON types."""
        return {
            "sampler": self.sampler,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance_scale,
            "strength": self.strength,
        }
