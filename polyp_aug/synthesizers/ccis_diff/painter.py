"""`ccis_diff` as a synthesizer: a job's region and prompt become a whole frame."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from polyp_aug.errors import ConfigurationError, SynthesisError
from polyp_aug.scene import Job, Painted, Rejection
from polyp_aug.synthesizers.base import Capabilities
from polyp_aug.synthesizers.ccis_diff.weights import CCISWeights, load_ccis_weights
from polyp_aug.synthesizers.diffusion.sampling import make_scheduler
from polyp_aug.synthesizers.frame_options import EMBEDDED_FRAME_WEIGHTS, FrameOptions
from polyp_aug.synthesizers.options import Sampling
from polyp_aug.synthesizers.polyp_gen.load import embedded_weights

#: A frame whose values spread less than this, in grey levels, is black or of one colour.
LEAST_SPREAD = 4.0


class CCISDiff:
    """Makes whole frames with polyps where a mask says, looking as a caption says (CCIS-Diff, Xie et al., 2025).

    Of a job it takes the frame's size, the region, the prompt and the key; of the picture, nothing.

    Args:
        weights: of `load_ccis_weights`.
        sampling: scheduler, steps, guidance.
        mask_guidance_scale: see `CCISDiffPipeline`.
        size: side in pixels at which the model works; None takes the one that it was trained at.
        batch_size: frames that are made together, at most.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    name = "ccis_diff"

    def __init__(
        self,
        weights: CCISWeights,
        sampling: Sampling,
        *,
        mask_guidance_scale: float = 1.0,
        size: int | None = None,
        batch_size: int = 8,
    ) -> None:
        self.sampling = sampling
        self.revision = weights.revision
        self._pipeline = weights.pipeline
        self._pipeline.scheduler = make_scheduler(sampling, self._pipeline.scheduler.config)
        self._size = self._pipeline.native_size if size is None else size
        if self._size < 1 or self._size % self._pipeline.multiple:
            raise ConfigurationError(
                f"'size' must be a positive multiple of {self._pipeline.multiple} for these weights (got {self._size})"
            )
        if batch_size < 1:
            raise ConfigurationError(f"'batch_size' must be at least 1 (got {batch_size})")
        self._mask_guidance = mask_guidance_scale
        self._batch_size = batch_size
        self.capabilities = Capabilities(output="frame", feathered=False, needs_text=True, native_size=self._size)

    def paint(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
        """As `Synthesizer.paint`; the frames must have the model's size.

        Raises:
            ConfigurationError: a frame has another size.
            SynthesisError: a single job doesn't fit into memory.
        """
        results: list[Painted | Rejection] = []
        batch = self._batch_size
        while len(results) < len(jobs):
            part = jobs[len(results) : len(results) + batch]
            try:
                results += self._paint(part)
            except torch.OutOfMemoryError as error:
                if len(part) == 1:
                    raise SynthesisError(f"a frame of {self._size} px doesn't fit into memory ({error})") from error
                batch = len(part) // 2
        return results

    def _paint(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
        for job in jobs:
            if job.image.shape[:2] != (self._size, self._size):
                raise ConfigurationError(
                    f"a frame of {job.image.shape[1]}×{job.image.shape[0]} pixels is asked for, "
                    f"expected {self._size}×{self._size}"
                )
        frames = self._pipeline(
            [job.region.to_mask(self._size, self._size) for job in jobs],
            [job.prompt for job in jobs],
            guidance_scale=self.sampling.guidance_scale,
            num_inference_steps=self.sampling.steps,
            mask_guidance_scale=self._mask_guidance,
            generators=[torch.Generator().manual_seed(job.key.torch_seed("noise")) for job in jobs],
        )
        details = self.sampling.to_dict()
        del details["strength"]
        details["mask_guidance_scale"] = self._mask_guidance
        return [
            Rejection(f"the model gave one colour ({np.mean(frame, axis=(0, 1)).round()} in R, G, B)")
            if frame.reshape(-1, 3).std(axis=0).mean() < LEAST_SPREAD
            else Painted(frame, job.region, details=details)
            for job, frame in zip(jobs, frames, strict=True)
        ]


def load_ccis_diff(options: FrameOptions) -> CCISDiff:
    """Load weights and make the painter.

    Raises:
        ConfigurationError: the weights can't be loaded, or don't suit the options.
    """
    options = options.resolved()
    if options.base and not options.weights:
        raise ConfigurationError(f"'base' completes 'weights': give those too (got base {options.base!r} alone)")
    # The package's control branch belongs to the UNet of its inpainting pipeline.
    source, base = (
        (options.weights, options.base) if options.weights else (str(embedded_frame_weights()), str(embedded_weights()))
    )
    weights = load_ccis_weights(source, base=base or None, device=options.device, dtype=getattr(torch, options.dtype))
    return CCISDiff(
        weights,
        options.sampling,
        mask_guidance_scale=options.mask_guidance,
        size=options.size,
        batch_size=options.batch_size,
    )


def embedded_frame_weights() -> Path:
    """Folder of the pipeline that comes with the package.

    Raises:
        ConfigurationError: this copy of the package has none.
    """
    folder = Path(str(files("polyp_aug"))) / "assets" / EMBEDDED_FRAME_WEIGHTS
    if not (folder / "model_index.json").is_file():
        raise ConfigurationError(
            f"this copy of polyp_aug comes without the weights {EMBEDDED_FRAME_WEIGHTS}: give 'weights'"
        )
    return folder
