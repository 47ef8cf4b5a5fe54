"""Sheets of painted samples, to look at while a model is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from polyp_aug.compositing import composite
from polyp_aug.geometry import Region
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key
from polyp_aug.scene import Job, Painted
from polyp_aug.synthesizers.options import Sampling
from polyp_aug.synthesizers.polyp_gen.painter import PolypGen
from polyp_aug.synthesizers.polyp_gen.weights import InpaintingWeights
from polyp_aug.training.examples import PROMPTS, Example

#: How a sheet is painted.
SAMPLING = Sampling(sampler="dpm++", guidance_scale=2.0)


def paint_sheet(weights: InpaintingWeights, examples: Sequence[Example], seed: int) -> ImageArray:
    """Paint examples; the pipeline is left as it was.

    Args:
        weights: the pipeline, with the weights to look at.
        examples: crops of one size.
        seed: of the noise.

    Returns:
        uint8 RGB: a column for each example; from above the crop, what the model sees of it, what it paints.
    """
    pipeline = weights.pipeline
    scheduler = pipeline.scheduler
    crops = [_picture(example) for example in examples]
    painter = PolypGen(weights, SAMPLING, mode="frame", size=crops[0].shape[0])
    jobs = [
        Job(crop, _region(example), PROMPTS[int(example.prompt)], 0, Key(seed, "sheet", draw=number))
        for number, (crop, example) in enumerate(zip(crops, examples, strict=True))
    ]
    columns = []
    for job, result in zip(jobs, painter.paint(jobs), strict=True):
        hidden, painted = job.image.copy(), job.image.copy()
        composite(hidden, np.full_like(hidden, 127), job.region, 0)
        composite(painted, result.image if isinstance(result, Painted) else np.zeros_like(painted), job.region, 0)
        columns.append(np.vstack([job.image, hidden, painted]))
    pipeline.scheduler = scheduler
    return np.hstack(columns)


def _picture(example: Example) -> ImageArray:
    picture = ((example.image + 1.0) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(picture.permute(1, 2, 0).numpy())


def _region(example: Example) -> Region:
    region = Region.from_mask(example.mask[0].numpy() > 0)
    assert region is not None, "a mask is never empty"
    return region
