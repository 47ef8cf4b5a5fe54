"""An adversary: a small network that learns to tell what another one makes from what is real.

A network that minimises distances gives the mean of what is possible: fine texture, of which its input says nothing,
comes out smooth. A discriminator of patches (Isola et al., 2017) sees that. It learns by the hinge loss
mean max(0, 1 − D(x)) + mean max(0, 1 + D(x̂)), the other network by A = −mean D(x̂), whose weight is balanced against the
rest of its loss by the norms of their gradients in its last layer, as in VQGAN (Esser et al., 2021).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

#: Learning rate of the discriminator.
LEARNING_RATE = 4e-4

#: Steps in which the adversary's weight rises.
WARMUP = 200


class PatchDiscriminator(nn.Module):
    """Says of each patch whether it is real: convolutions that halve the side, and one that judges.

    All layers have spectral normalisation (Miyato et al., 2018).

    Args:
        inputs: channels of the pictures.
        channels: of the first layer; each one after it has twice as many.
        levels: how often the side is halved; a patch has 18 pixels with two levels, 38 with three.
    """

    def __init__(self, inputs: int, channels: int, levels: int) -> None:
        super().__init__()
        widths = (inputs, *(channels * 2**level for level in range(levels)))
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            layers += [spectral_norm(nn.Conv2d(narrow, wide, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        self._layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1)))

    def forward(self, pictures: Tensor) -> Tensor:
        """Judgements (N, 1, H / 2^levels, W / 2^levels), higher for real, of pictures (N, inputs, H, W)."""
        judged: Tensor = self._layers(pictures)
        return judged


class Adversary:
    """A discriminator in training.

    Args:
        inputs: see `PatchDiscriminator`.
        channels: see there.
        levels: see there.
        seed: of its random weights.
        accelerator: device and precision.
    """

    def __init__(self, inputs: int, channels: int, levels: int, *, seed: int, accelerator: Accelerator) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = PatchDiscriminator(inputs, channels, levels).to(accelerator.device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, betas=(0.5, 0.9), weight_decay=0.0)
        self._accelerator = accelerator
        self._network, self._optimizer = accelerator.prepare(network, optimizer)

    def judge(self, made: Tensor) -> Tensor:
        """A = −mean D(x̂), a scalar whose gradient goes to `made` alone."""
        self._network.requires_grad_(False)
        with self._accelerator.autocast():
            judged: Tensor = -self._network(made).float().mean()
        self._network.requires_grad_(True)
        return judged

    def learn(self, real: Tensor, made: Tensor) -> None:
        """One step of the discriminator; no gradient goes to `made`."""
        with self._accelerator.autocast():
            high, low = self._network(real).float(), self._network(made.detach()).float()
            loss = (1.0 - high).clamp_min(0.0).mean() + (1.0 + low).clamp_min(0.0).mean()
        self._accelerator.backward(loss)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {"network": self._network.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])


def balanced(loss: Tensor, rival: Tensor, last: Tensor, weight: float, step: int) -> Tensor:
    """L + w ‖∂L/∂θ‖ / ‖∂A/∂θ‖ A: the adversary's gradient in θ is w times as long as that of the rest.

    Not in what is made itself: there the gradient of L is noise, which cancels in the weights, and that of A is not.

    Args:
        loss: L, a scalar.
        rival: A, a scalar.
        last: θ, the weights of the last layer.
        weight: w, which rises from 0 over the first `WARMUP` steps: the adversary knows nothing yet.
        step: counted from 0.
    """
    weight *= min(1.0, step / WARMUP)
    ours, theirs = (torch.autograd.grad(part, last, retain_graph=True)[0].float().norm() for part in (loss, rival))
    total: Tensor = loss + weight * ours / theirs.clamp_min(1e-12) * rival
    return total
