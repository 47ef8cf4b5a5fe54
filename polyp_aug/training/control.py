"""The part of a training of CCIS-Diff that learns: the control branch, with optimizer and moving average.

UNet and autoencoder stay as they are. So does the text encoder, but for a small one that has to learn its words first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from torch.nn import functional

from polyp_aug.synthesizers.ccis_diff.pipeline import CCISDiffPipeline
from polyp_aug.synthesizers.ccis_diff.prompts import drop_captions, embed, tokenize
from polyp_aug.synthesizers.ccis_diff.unet_input import FrameInput
from polyp_aug.training.captioned_latents import CaptionedLatents
from polyp_aug.training.learner import Learner
from polyp_aug.training.objective import denoising_target, lesion_guided_loss, min_snr_weights, tone_loss


class ControlDraw(NamedTuple):
    """What is drawn for a batch of N examples.

    Attributes:
        noise: ε, float, of the latents' shape.
        timesteps: int64 (N,).
        dropped: bool (N,), whose caption is replaced by the empty prompt.
    """

    noise: Tensor
    timesteps: Tensor
    dropped: Tensor


@dataclass(frozen=True)
class ControlObjective:
    """What is minimised: E ‖y − ŷ‖² (eq. 4), y the noise or the velocity; the rest is 0 in the paper.

    Attributes:
        prediction_type: "epsilon" or "v_prediction".
        lesion_weight: λ of a lesion-guided loss as Polyp-Gen's.
        tone_weight: factor of `tone_loss`.
        snr_gamma: γ of min-SNR, or None.
    """

    prediction_type: str
    lesion_weight: float = 0.0
    tone_weight: float = 0.0
    snr_gamma: float | None = None


class ControlTrainer:
    """A control branch in training.

    Args:
        pipeline: its control branch, and its text encoder if that is wanted, are trained in place.
        size: side of the pictures in pixels.
        objective: what is minimised.
        accelerator: device and precision.
        ema: decay of the moving average.
        text_encoder: train the text encoder too.
        gradient_checkpointing: compute the branch's activations again in the backward pass.
    """

    def __init__(
        self,
        pipeline: CCISDiffPipeline,
        *,
        size: int,
        objective: ControlObjective,
        accelerator: Accelerator,
        ema: float,
        text_encoder: bool,
        gradient_checkpointing: bool,
    ) -> None:
        self._pipeline = pipeline
        self._objective = objective
        self._accelerator = accelerator
        self._alphas = pipeline.scheduler.alphas_cumprod.to(accelerator.device)
        for frozen in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
            frozen.requires_grad_(False).eval()
        if accelerator.device.type == "cpu":
            # The fused attention's backward pass is slow there.
            pipeline.unet.set_attn_processor(AttnProcessor())
        if gradient_checkpointing:
            pipeline.controlnet.enable_gradient_checkpointing()
        self._complete = FrameInput(pipeline.unet, pipeline.vae, (size, size))
        self._learning = [pipeline.controlnet, *([pipeline.text_encoder] if text_encoder else [])]
        for network in self._learning:
            network.requires_grad_(True).train()
        weights = [weight for network in self._learning for weight in network.parameters()]
        *_, optimizer = accelerator.prepare(*self._learning, torch.optim.AdamW(weights, lr=0.0))
        self._learner = Learner(weights, optimizer, ema, accelerator)
        self._empty = tokenize(pipeline.tokenizer, [""])[0].to(accelerator.device)

    def step(self, batch: CaptionedLatents, captions: Sequence[str], draw: ControlDraw, *, rate: float) -> float:
        """One step of the optimizer; the mean loss of the batch.

        Args:
            batch: the examples.
            captions: what they say.
            draw: noise, time steps and dropped captions.
            rate: learning rate.
        """
        loss = self.loss(batch, captions, draw)
        self._accelerator.backward(loss)
        self._learner.update(rate)
        return float(loss.detach())

    def loss(self, batch: CaptionedLatents, captions: Sequence[str], draw: ControlDraw) -> Tensor:
        """The objective on a batch, a scalar."""
        device, pipeline = self._accelerator.device, self._pipeline
        latents, mask = batch.latents.to(device), batch.mask.to(device)
        noise, times = draw.noise.to(device), draw.timesteps.to(device)
        ids, own = (part.to(device) for part in tokenize(pipeline.tokenizer, captions))
        ids, own = drop_captions(ids, own, self._empty, draw.dropped.to(device))
        kept = self._alphas[times].view(-1, 1, 1, 1)
        noisy = self._complete(kept.sqrt() * latents + (1.0 - kept).sqrt() * noise)
        with self._accelerator.autocast():
            prompt = embed(pipeline.text_encoder, ids)
            down, middle = pipeline.controlnet(noisy, times, prompt, mask, prompt_tokens=own, return_dict=False)
            found = pipeline.unet(
                noisy, times, prompt, down_block_additional_residuals=down, mid_block_additional_residual=middle
            ).sample
        objective = self._objective
        target = denoising_target(objective.prediction_type, latents, noise, self._alphas, times)
        weights = min_snr_weights(objective.prediction_type, self._alphas, times, objective.snr_gamma)
        lesion = functional.adaptive_avg_pool2d(mask, (latents.shape[-2], latents.shape[-1]))
        loss = lesion_guided_loss(found, target, lesion, objective.lesion_weight, weights)
        if objective.tone_weight:
            loss = loss + objective.tone_weight * tone_loss(found, target, lesion, weights)
        return loss

    @contextmanager
    def averaged(self) -> Iterator[CCISDiffPipeline]:
        """The pipeline with the moving average for its weights, in evaluation mode, as long as the context lasts."""
        for network in self._learning:
            network.eval()
        try:
            with self._learner.averaged():
                yield self._pipeline
        finally:
            for network in self._learning:
                network.train()

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return self._learner.state()

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self._learner.load(state)

    def finish(self) -> None:
        """Leave the moving average in the networks. No step may follow."""
        self._learner.finish()
        for network in self._learning:
            network.eval()
