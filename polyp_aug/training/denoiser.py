"""The part of a training that learns: a UNet or its LoRA adapter, with optimizer and moving average."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from diffusers import StableDiffusionInpaintPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn
from torch.nn import functional

from polyp_aug.training.adversary import Adversary, balanced
from polyp_aug.training.latents import LatentExample
from polyp_aug.training.learner import Learner
from polyp_aug.training.objective import clean_latents, denoising_target, lesion_guided_loss, min_snr_weights

#: The attention's layers that a LoRA adapter changes.
LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


class Draw(NamedTuple):
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
        adversarial_weight: length of the adversary's gradient over that of the rest; 0 is without.
    """

    prediction_type: str
    lesion_weight: float
    snr_gamma: float | None
    adversarial_weight: float = 0.0


class _Found(NamedTuple):
    """What the network makes of a batch: the objective, a scalar, and x̂₀, float (N, 4, h, w)."""

    loss: Tensor
    clean: Tensor


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
        self._adversary = (
            Adversary(9 + len(embeddings), 64, 2, seed=seed, accelerator=accelerator)
            if objective.adversarial_weight
            else None
        )
        self._updates = 0

    def step(self, batch: LatentExample, draw: Draw, *, rate: float, micro_batch: int) -> float:
        """One step of the optimizer; the mean loss of the batch.

        Args:
            batch: the examples.
            draw: noise and time steps.
            rate: learning rate.
            micro_batch: examples that go through the network at once; gradients add up over the batch. An adversary
                needs the whole batch at once.
        """
        number = len(batch.prompt)
        total = 0.0
        for first in range(0, number, micro_batch):
            part = LatentExample(*(field[first : first + micro_batch] for field in batch))
            found = self._find(part, Draw(*(field[first : first + micro_batch] for field in draw)))
            share = len(part.prompt) / number
            self._accelerator.backward(self._with_adversary(found, part) * share)
            total += float(found.loss.detach()) * share
        self._learner.update(rate)
        if self._adversary is not None:
            self._adversary.learn(self._shown(batch, batch.latents), self._shown(part, found.clean))
        self._updates += 1
        return total

    def loss(self, batch: LatentExample, draw: Draw) -> Tensor:
        """The objective on a batch without the adversary's part, a scalar."""
        return self._find(batch, draw).loss

    def _find(self, batch: LatentExample, draw: Draw) -> _Found:
        device, objective = self._accelerator.device, self._objective
        latents, masked, mask, prompt = (part.to(device) for part in batch)
        noise, timesteps = draw.noise.to(device), draw.timesteps.to(device)
        kept = self._alphas[timesteps].view(-1, 1, 1, 1)
        noisy = kept.sqrt() * latents + (1.0 - kept).sqrt() * noise
        with self._accelerator.autocast():
            found = self._model(torch.cat([noisy, mask, masked], 1), timesteps, self._embeddings[prompt]).sample
        target = denoising_target(objective.prediction_type, latents, noise, self._alphas, timesteps)
        weights = min_snr_weights(objective.prediction_type, self._alphas, timesteps, objective.snr_gamma)
        loss = lesion_guided_loss(found, target, mask, objective.lesion_weight, weights)
        return _Found(loss, clean_latents(objective.prediction_type, found, noisy, self._alphas, timesteps))

    def _with_adversary(self, found: _Found, batch: LatentExample) -> Tensor:
        if self._adversary is None:
            return found.loss
        rival = self._adversary.judge(self._shown(batch, found.clean))
        weight = self._objective.adversarial_weight
        return balanced(found.loss, rival, self.unet.conv_out.weight, weight, self._updates)

    def _shown(self, batch: LatentExample, clean: Tensor) -> Tensor:
        """What the adversary sees: clean latents, those of the masked picture, mask, and a plane for each prompt."""
        device = self._accelerator.device
        planes = functional.one_hot(batch.prompt, len(self._embeddings)).float()[:, :, None, None]
        planes = planes.expand(-1, -1, *clean.shape[-2:])
        return torch.cat([part.to(device) for part in (clean, batch.masked, batch.mask, planes)], dim=1)

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
        rival = {} if self._adversary is None else {"adversary": self._adversary.state()}
        return self._learner.state() | {"updates": self._updates} | rival

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self._learner.load(state)
        self._updates = state["updates"]
        if self._adversary is not None:
            self._adversary.load(state["adversary"])

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
