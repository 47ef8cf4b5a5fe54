"""The part of a training that learns: a UNet or its LoRA adapter, with optimizer and moving average."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import StableDiffusionInpaintPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn

from polyp_aug.training.latents import LatentExample
from polyp_aug.training.learner import Learner
from polyp_aug.training.objective import denoising_target, lesion_guided_loss, min_snr_weights

#: The attention's layers that a LoRA adapter changes.
LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


@dataclass(frozen=True, eq=False)
class Draw:
    """What is drawn for a batch of N examples.

    Attributes:
        noise: ε, float, of the latents' shape.
        timesteps: int64 (N,).
    """

    noise: Tensor
    timesteps: Tensor


@dataclass(frozen=True)
class Objective:
    """What is minimised.

    Attributes:
        prediction_type: "epsilon" or "v_prediction".
        lesion_weight: λ.
        snr_gamma: γ of min-SNR, or None.
    """

    prediction_type: str
    lesion_weight: float
    snr_gamma: float | None


class Denoiser:
    """A UNet in training.

    Args:
        unet: the network; it is trained in place.
        alphas_cumprod: ᾱ of every time step, float (T,).
        embeddings: of the prompts, float (prompts, tokens, features).
        objective: what is minimised.
        accelerator: device and precision.
        ema: decay of the moving average.
        lora_rank: rank of the adapter that is trained in place of the whole network, or 0.
        seed: of the adapter's random weights.
        gradient_checkpointing: compute activations again in the backward pass: less memory, more time.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        alphas_cumprod: Tensor,
        embeddings: Tensor,
        objective: Objective,
        accelerator: Accelerator,
        *,
        ema: float,
        lora_rank: int,
        seed: int,
        gradient_checkpointing: bool,
    ) -> None:
        self._accelerator = accelerator
        self._objective = objective
        self._alphas = alphas_cumprod.to(accelerator.device)
        self._embeddings = embeddings.to(accelerator.device)
        self._lora = lora_rank > 0
        if self._lora:
            unet.requires_grad_(False)
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                unet.add_adapter(LoraConfig(r=lora_rank, lora_alpha=lora_rank, target_modules=list(LORA_TARGETS)))
        else:
            unet.requires_grad_(True)
        if accelerator.device.type == "cpu":
            # The fused attention's backward pass is slow there.
            unet.set_attn_processor(AttnProcessor())
        if gradient_checkpointing:
            unet.enable_gradient_checkpointing()
        self.unet = unet.to(accelerator.device).train()
        weights = [weight for weight in unet.parameters() if weight.requires_grad]
        self._model, optimizer = accelerator.prepare(unet, torch.optim.AdamW(weights, lr=0.0))
        self._learner = Learner(weights, optimizer, ema, accelerator)

    def step(self, batch: LatentExample, draw: Draw, *, rate: float, micro_batch: int) -> float:
        """One step of the optimizer; the mean loss of the batch.

        Args:
            batch: the examples.
            draw: noise and time steps.
            rate: learning rate.
            micro_batch: examples that go through the network at once; gradients add up over the batch.
        """
        number = len(batch.prompt)
        total = 0.0
        for first in range(0, number, micro_batch):
            part = slice(first, first + micro_batch)
            loss = self.loss(
                LatentExample(*(field[part] for field in batch)), Draw(draw.noise[part], draw.timesteps[part])
            )
            share = len(batch.prompt[part]) / number
            self._accelerator.backward(loss * share)
            total += float(loss.detach()) * share
        self._learner.update(rate)
        return total

    def loss(self, batch: LatentExample, draw: Draw) -> Tensor:
        """The objective on a batch, a scalar."""
        device, objective = self._accelerator.device, self._objective
        latents, masked, mask, prompt = (part.to(device) for part in batch)
        noise, timesteps = draw.noise.to(device), draw.timesteps.to(device)
        kept = self._alphas[timesteps].view(-1, 1, 1, 1)
        noisy = kept.sqrt() * latents + (1.0 - kept).sqrt() * noise
        with self._accelerator.autocast():
            found = self._model(torch.cat([noisy, mask, masked], 1), timesteps, self._embeddings[prompt]).sample
        target = denoising_target(objective.prediction_type, latents, noise, self._alphas, timesteps)
        weights = min_snr_weights(objective.prediction_type, self._alphas, timesteps, objective.snr_gamma)
        return lesion_guided_loss(found, target, mask, objective.lesion_weight, weights)

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The network with the moving average for its weights, in evaluation mode, as long as the context lasts."""
        self.unet.eval()
        try:
            with self._learner.averaged():
                yield self.unet
        finally:
            self.unet.train()

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return self._learner.state()

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self._learner.load(state)

    def finish(self, lora: Path | None = None) -> None:
        """Leave the moving average in the network; an adapter is written to `lora` and fused. No step may follow."""
        self._learner.finish()
        self.unet.eval()
        if self._lora:
            if lora is not None:
                StableDiffusionInpaintPipeline.save_lora_weights(
                    lora, unet_lora_layers=get_peft_model_state_dict(self.unet), safe_serialization=True
                )
            self.unet.fuse_lora()
            self.unet.unload_lora()
