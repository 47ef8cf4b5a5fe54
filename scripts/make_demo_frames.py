"""Makes the frames that `polyp-aug demo` paints into: phantoms, repainted by the package's own model.

    make_demo_frames.py OUT [--weights FOLDER] [--count 6] [--seed 0] [--strength 0.55]

A phantom has the folds, the lumen and the light of a colon, but plain textures. Square places that cover it are
repainted with the prompt *Normal*, one after the other and twice, shifted by half a place the second time, from the
phantom with noise: `strength` is the share of the noise schedule that is run. No frame of a patient takes part.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from polyp_aug.compositing import composite
from polyp_aug.geometry import Region
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key
from polyp_aug.phantom import render_phantom
from polyp_aug.synthesizers.diffusion.sampling import make_scheduler
from polyp_aug.synthesizers.options import NORMAL, Sampling
from polyp_aug.synthesizers.polyp_gen.load import embedded_weights
from polyp_aug.synthesizers.polyp_gen.weights import InpaintingWeights, load_inpainting_weights
from polyp_aug.synthesizers.polyp_gen.windows import crop_box, cut_window, match_surroundings

WIDTH, HEIGHT = 512, 432
PLACE, WINDOW, FEATHER = 144, 192, 16
STEPS = 12
QUALITY = 94


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", default="")
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strength", type=float, default=0.55)
    options = parser.parse_args()
    weights = load_inpainting_weights(options.weights or str(embedded_weights()))
    weights.pipeline.scheduler = make_scheduler(Sampling(), weights.pipeline.scheduler.config)
    weights.pipeline.set_progress_bar_config(disable=True)
    options.out.mkdir(parents=True, exist_ok=True)
    for number in range(options.count):
        phantom = render_phantom(options.seed + number, width=WIDTH, height=HEIGHT, polyps=0)
        frame = repainted(phantom.image, weights, Key(options.seed, f"frame {number}"), options.strength)
        file = options.out / f"frame_{number}.jpg"
        cv2.imwrite(str(file), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def repainted(frame: ImageArray, weights: InpaintingWeights, key: Key, strength: float) -> ImageArray:
    """A frame with every place repainted twice; what is black stays black."""
    canvas = frame.copy()
    for turn, shift in enumerate((0, PLACE // 2)):
        places = [(x, y) for y in range(-shift, HEIGHT, PLACE) for x in range(-shift, WIDTH, PLACE)]
        for index in key.generator(f"order {turn}").permutation(len(places)):
            region = Region(*places[index], np.ones((PLACE, PLACE), np.bool_)).clipped(WIDTH, HEIGHT)
            if region is not None and min(region.box[2:]) >= 2 * FEATHER:
                place(canvas, region, weights, key.child(100 * turn + int(index)), strength)
    canvas[frame.max(axis=2) < 8] = 0
    return canvas


def place(canvas: ImageArray, region: Region, weights: InpaintingWeights, key: Key, strength: float) -> None:
    """Repaint one place, in the canvas itself."""
    pipeline = weights.pipeline
    box = crop_box(region, WIDTH, HEIGHT, WINDOW, 1.0)
    window = cut_window(canvas, region, box, (WINDOW, WINDOW), int(pipeline.vae_scale_factor))
    embedding, _ = pipeline.encode_prompt(NORMAL, pipeline.device, 1, False)
    picture = pipeline(
        prompt_embeds=embedding,
        image=torch.from_numpy(window.image.astype(np.float32) / 255.0).permute(2, 0, 1)[None],
        mask_image=torch.from_numpy(window.mask.astype(np.float32))[None, None],
        height=WINDOW,
        width=WINDOW,
        strength=strength,
        num_inference_steps=STEPS,
        guidance_scale=1.0,
        generator=torch.Generator().manual_seed(key.torch_seed("demo frame")),
        output_type="np",
    ).images[0]
    matched = np.clip(match_surroundings(picture, window) * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
    x, y, w, h = box
    painted = canvas.copy()
    painted[y : y + h, x : x + w] = window.restored(matched)
    composite(canvas, painted, region, FEATHER)


if __name__ == "__main__":
    main()
