"""Weights that learn, with their optimizer and their moving average."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import nn

#: Longest gradient; longer ones are cut to it.
LARGEST_GRADIENT = 1.0


class Learner:
    """Updates weights, and holds everything that the next update depends on.

    Args:
        weights: what learns, on the accelerator's device.
        optimizer: of these weights, as `accelerator.prepare` gives it.
        ema: decay of the moving average.
        accelerator: precision.
    """

    def __init__(
        self, weights: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer, ema: float, accelerator: Accelerator
    ) -> None:
        self._weights = list(weights)
        self._optimizer = optimizer
        self._accelerator = accelerator
        self._ema = EMAModel(self._weights, decay=ema)

    def update(self, rate: float) -> None:
        """One step of the optimizer, at a learning rate, with the gradients that are there; they are used up."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._accelerator.clip_grad_norm_(self._weights, LARGEST_GRADIENT)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._ema.step(self._weights)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The weights are the moving average as long as the context lasts."""
        self._ema.store(self._weights)
        self._ema.copy_to(self._weights)
        try:
            yield
        finally:
            self._ema.restore(self._weights)

    def finish(self) -> None:
        """Leave the moving average in the weights. No update may follow."""
        self._ema.copy_to(self._weights)

    def state(self) -> dict[str, Any]:
        """Everything that the next update depends on."""
        scaler = self._accelerator.scaler
        return {
            "weights": [weight.detach() for weight in self._weights],
            "ema": self._ema.shadow_params,
            "ema_steps": self._ema.optimization_step,
            "optimizer": self._optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else {},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        own, saved = (*self._weights, *self._ema.shadow_params), (*state["weights"], *state["ema"])
        with torch.no_grad():
            for mine, theirs in zip(own, saved, strict=True):
                mine.copy_(theirs)
        self._ema.optimization_step = state["ema_steps"]
        self._optimizer.load_state_dict(state["optimizer"])
        if self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(state["scaler"])
