"""The schedulers of diffusers behind the samplers' names."""

from __future__ import annotations

from typing import Any

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, LCMScheduler, SchedulerMixin

from polyp_aug.synthesizers.options import SamplerName, Sampling

__all__ = ["SCHEDULERS", "Sampling", "make_scheduler"]

#: Sampler → (scheduler class, its own settings).
SCHEDULERS: dict[SamplerName, tuple[type[SchedulerMixin], dict[str, Any]]] = {
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "dpm++": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "use_karras_sigmas": False}),
    "lcm": (LCMScheduler, {}),
}


def make_scheduler(sampling: Sampling, config: Any) -> SchedulerMixin:
    """A scheduler, with everything that the weights' own configuration says of training: betas, prediction type.

    Args:
        sampling: names the sampler.
        config: configuration of the scheduler that came with the weights.
    """
    cls, own = SCHEDULERS[sampling.sampler]
    return cls.from_config(config, **own)
