"""`polyp_gen`: I' = θ(I, M, P), Stable Diffusion inpainting fine-tuned on polyps (Polyp-Gen, Liu et al., 2025).

Text embeddings are computed once for each prompt, every job has its own generator, and a batch that doesn't fit into
memory is halved. What comes back is the window with the region repainted; composition keeps every pixel outside of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from polyp_aug.compositing import composite
from polyp_aug.errors import ConfigurationError, SynthesisError
from polyp_aug.geometry import intersection
from polyp_aug.images import ImageArray
from polyp_aug.scene import Job, Painted, Rejection
from polyp_aug.synthesizers.base import Capabilities, Synthesizer
from polyp_aug.synthesizers.diffusion.sampling import make_scheduler
from polyp_aug.synthesizers.options import MASK_MARGIN, NORMAL, Sampling
from polyp_aug.synthesizers.polyp_gen.weights import InpaintingWeights
from polyp_aug.synthesizers.polyp_gen.windows import Window, crop_box, cut_window, frame_size, match_surroundings

#: A painted region whose values spread less than this, in grey levels, is black or of one colour.
LEAST_SPREAD = 2.0


class PolypGen:
    """Paints polyps, or mucosa where a polyp was, with an inpainting diffusion model.

    Args:
        weights: of `load_inpainting_weights`.
        sampling: scheduler, steps, guidance, strength.
        mode: "crop" shows the model a square around the region, so that small polyps get its full resolution (or the
            whole frame where the region doesn't fit into a square of it); "frame" shows it the whole frame.
        context: in crop mode, side of the square over the longer side of the region.
        size: side in pixels at which the model works; None takes the one that it was trained at.
        batch_size: jobs that are painted together, at most.
        start: what the painting of a polyp starts from where `strength` is below 1, a transplant for example. Painting
            mucosa starts from the frame.

    Raises:
        ConfigurationError: a value is out of its range, or `strength` is below 1 without a `start`.
    """

    name = "polyp_gen"

    def __init__(
        self,
        weights: InpaintingWeights,
        sampling: Sampling | None = None,
        *,
        mode: Literal["crop", "frame"] = "crop",
        context: float = 1.5,
        size: int | None = None,
        batch_size: int = 8,
        start: Synthesizer | None = None,
    ) -> None:
        self.sampling = sampling or Sampling()
        self.revision = weights.revision
        self._pipeline = weights.pipeline
        self._scheduler = make_scheduler(self.sampling, self._pipeline.scheduler.config)
        levels = len(self._pipeline.unet.config.block_out_channels)
        self._cell = int(self._pipeline.vae_scale_factor)
        self._multiple = self._cell * 2 ** (levels - 1)
        trained = int(self._pipeline.unet.config.sample_size) * self._cell
        self._size = trained if size is None else size
        if mode not in ("crop", "frame"):
            raise ConfigurationError(f"'mode' must be crop or frame (got {mode!r})")
        if self._size < self._multiple or self._size % self._multiple:
            raise ConfigurationError(f"'size' must be a positive multiple of {self._multiple} (got {self._size})")
        if context < 1.0:
            raise ConfigurationError(f"'context' must be at least 1 (got {context})")
        if batch_size < 1:
            raise ConfigurationError(f"'batch_size' must be at least 1 (got {batch_size})")
        if self.sampling.strength < 1.0 and start is None:
            raise ConfigurationError(f"'strength' below 1 needs a 'start' (got {self.sampling.strength})")
        self._mode = mode
        self._context = context
        self._batch_size = batch_size
        self._start = start
        self._embeddings: dict[str, Tensor] = {}
        self.capabilities = Capabilities(
            output="edit",
            feathered=True,
            needs_text=True,
            removes=True,
            native_size=self._size,
            margin=MASK_MARGIN,
        )

    def paint(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
        """As `Synthesizer.paint`. On a CPU jobs of different batches differ by rounding only (4e-6 before quantising).

        Raises:
            SynthesisError: a single job doesn't fit into memory.
        """
        results: list[Painted | Rejection] = []
        batch, first = self._batch_size, 0
        while first < len(jobs):
            part = jobs[first : first + batch]
            painted = self._try(part)
            if painted is None:
                # Out here nothing holds on to the tensors of the batch that failed.
                torch.cuda.empty_cache()
                batch = self._batch_size = len(part) // 2
                continue
            results.extend(painted)
            first += len(part)
        return results

    def _try(self, jobs: Sequence[Job]) -> list[Painted | Rejection] | None:
        """Results of a batch, or None where it doesn't fit into memory."""
        try:
            return self._paint(jobs)
        except torch.OutOfMemoryError as error:
            if len(jobs) == 1:
                raise SynthesisError(f"painting at {self._size} px doesn't fit into memory ({error})") from error
            return None

    def _paint(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
        starts = self._starts(jobs)
        results: list[Painted | Rejection | None] = [
            start if isinstance(start, Rejection) else None for start in starts
        ]
        open_jobs = [index for index, result in enumerate(results) if result is None]
        windows = {index: self._window(jobs[index], starts[index]) for index in open_jobs}
        shapes = sorted({window.image.shape[:2] for window in windows.values()})
        for shape in shapes:
            indices = [index for index in open_jobs if windows[index].image.shape[:2] == shape]
            pictures, flagged = self._sample([windows[index] for index in indices], [jobs[index] for index in indices])
            for index, picture, flag in zip(indices, pictures, flagged, strict=True):
                if flag:
                    results[index] = Rejection("the safety checker blacked the picture out")
                else:
                    results[index] = self._result(jobs[index], starts[index], windows[index], picture)
        return [result or Rejection("not painted") for result in results]

    def _starts(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
        """What painting starts from: the frame itself, or what `start` makes of it, laid over the frame."""
        starts: list[Painted | Rejection] = [Painted(job.image) for job in jobs]
        if self._start is None or self.sampling.strength == 1.0:
            return starts
        chosen = [index for index, job in enumerate(jobs) if job.prompt != NORMAL]
        for index, result in zip(chosen, self._start.paint([jobs[index] for index in chosen]), strict=True):
            if isinstance(result, Painted):
                canvas = jobs[index].image.copy()
                composite(canvas, result.image, result.region or jobs[index].region, jobs[index].feather)
                result = Painted(canvas, result.region, result.category, result.details)
            starts[index] = result
        return starts

    def _window(self, job: Job, start: Painted | Rejection) -> Window:
        assert isinstance(start, Painted)
        height, width = job.image.shape[:2]
        place = job.repainted
        if self._mode == "crop":
            box = crop_box(place, width, height, self._size, self._context)
            if intersection(place.box, box) == place.box:
                return cut_window(start.image, place, box, (self._size, self._size), self._cell)
        size = frame_size(width, height, self._size, self._multiple)
        return cut_window(start.image, place, (0, 0, width, height), size, self._cell)

    def _sample(self, windows: Sequence[Window], jobs: Sequence[Job]) -> tuple[npt.NDArray[np.float32], Sequence[bool]]:
        """Pictures of a batch of windows of one size, and whether the safety checker blacked each out.

        The pictures are float32 (N, h, w, 3), RGB in [0, 1]; they may hold NaN.
        """
        generators = [torch.Generator("cpu").manual_seed(job.key.torch_seed(self.name)) for job in jobs]
        images = np.stack([window.image for window in windows]).astype(np.float32) / 255.0
        masks = np.stack([window.mask for window in windows]).astype(np.float32)
        height, width = images.shape[1:3]
        guided = self.sampling.guidance_scale > 1.0
        # The pipeline may be shared with another painter that samples in another way.
        self._pipeline.scheduler = self._scheduler
        output = self._pipeline(
            prompt_embeds=torch.cat([self._embedding(job.prompt) for job in jobs]),
            negative_prompt_embeds=torch.cat([self._embedding("")] * len(jobs)) if guided else None,
            image=torch.from_numpy(images).permute(0, 3, 1, 2),
            mask_image=torch.from_numpy(masks)[:, None],
            height=height,
            width=width,
            strength=self.sampling.strength,
            num_inference_steps=self.sampling.steps,
            guidance_scale=self.sampling.guidance_scale,
            generator=generators,
            output_type="np",
        )
        pictures = np.asarray(output.images, dtype=np.float32)
        return pictures, output.nsfw_content_detected or [False] * len(jobs)

    @torch.no_grad()
    def _embedding(self, prompt: str) -> Tensor:
        """The prompt's embedding (1, tokens, features), computed once."""
        if prompt not in self._embeddings:
            found, _ = self._pipeline.encode_prompt(prompt, self._pipeline.device, 1, False)
            self._embeddings[prompt] = found
        return self._embeddings[prompt]

    def _result(
        self, job: Job, start: Painted | Rejection, window: Window, picture: npt.NDArray[np.float32]
    ) -> Painted | Rejection:
        inside = picture[window.mask]
        if not np.isfinite(picture).all():
            return Rejection("the model gave values that are not finite")
        if float(inside.std(axis=0).mean()) * 255.0 < LEAST_SPREAD:
            return Rejection(f"the model gave one colour ({inside.mean(axis=0) * 255.0} in R, G, B)")
        matched = match_surroundings(picture, window)
        painted: ImageArray = np.clip(matched * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
        x, y, w, h = window.box
        image = job.image.copy()
        image[y : y + h, x : x + w] = window.restored(painted)
        details: dict[str, Any] = self.sampling.to_dict() | {"mode": self._mode, "window": list(window.box)}
        if isinstance(start, Painted) and start.details:
            details["start"] = dict(start.details)
        return Painted(image, category=start.category if isinstance(start, Painted) else None, details=details)
