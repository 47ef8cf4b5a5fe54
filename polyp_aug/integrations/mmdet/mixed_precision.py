"""Mixed precision on a processor, which mmengine's own wrapper refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class ProcessorAmpOptimWrapper(OptimWrapper):  # type: ignore[misc]
    """Forward passes in bfloat16 where torch's autocast has it; weights, gradients and their sums stay float32.

    bfloat16 has the range of float32, so that no loss is scaled.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """As `OptimWrapper.optim_context`, in bfloat16."""
        with super().optim_context(model), torch.autocast("cpu", torch.bfloat16):
            yield
