"""Text-aware attention: the prompt decides where self-attention looks (CCIS-Diff, section 2.2.3)."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn import functional

#: Maps whose largest value is so near to their median say nothing.
_FLAT = 1e-6


def text_aware_map(similarity: Tensor, tokens: Tensor) -> Tensor:
    """The map S: how much each pixel belongs to the prompt (eq. 3).

    s_j = clamp₀₁((x_j − median x) / (max x − median x)), with x_j = Σ_t M_c[j, t] over the prompt's own tokens. Over
    all tokens the sum would be 1 everywhere.

    Args:
        similarity: M_c, float (N, pixels, tokens): each pixel's share of attention to each token (eq. 2).
        tokens: bool (N, tokens): which are the prompt's own, neither begin, end nor padding.

    Returns:
        S, float (N, pixels) in [0, 1]; 1 where the prompt is empty or says the same of all pixels.
    """
    total = (similarity * tokens[:, None, :]).sum(dim=-1)
    middle = total.median(dim=1, keepdim=True).values
    spread = total.amax(dim=1, keepdim=True) - middle
    scores = ((total - middle) / spread.clamp_min(_FLAT)).clamp(0.0, 1.0)
    silent = (spread <= _FLAT) | ~tokens.any(dim=1, keepdim=True)
    return torch.where(silent, torch.ones_like(scores), scores)


class TextAwareAttnProcessor:
    """Self-attention whose logits are scaled by the map S: softmax(Q_s (S ⊙ K_s)ᵀ / √d) V_s.

    S weighs the pixels that are looked at, the keys. It comes from the cross-attention of the same block, whose query
    is taken here from the input of the self-attention: its own comes later.

    Args:
        cross_attention: of the same transformer block.
    """

    def __init__(self, cross_attention: Attention) -> None:
        self._cross = cross_attention

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,  # noqa: ARG002
        attention_mask: Tensor | None = None,  # noqa: ARG002
        temb: Tensor | None = None,  # noqa: ARG002
        prompt_states: Tensor | None = None,
        prompt_tokens: Tensor | None = None,
    ) -> Tensor:
        """As diffusers' processors.

        Args:
            attn: the self-attention.
            hidden_states: F_a, float (N, pixels, channels).
            encoder_hidden_states: not used.
            attention_mask: not used.
            temb: not used.
            prompt_states: the prompt's embeddings, float (N, tokens, features); None is plain attention.
            prompt_tokens: bool (N, tokens), see `text_aware_map`; None is plain attention.
        """
        query, key, value = (
            _split(project(hidden_states), attn.heads) for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        if prompt_states is not None and prompt_tokens is not None:
            scores = text_aware_map(self._similarity(hidden_states, prompt_states), prompt_tokens)
            key = key * scores[:, None, :, None].to(key.dtype)
        found = functional.scaled_dot_product_attention(query, key, value)
        return _out(attn, found)

    def _similarity(self, hidden: Tensor, prompt: Tensor) -> Tensor:
        """M_c = softmax(Q_c K_cᵀ / √d), averaged over the heads, float32 (N, pixels, tokens)."""
        cross = self._cross
        query, key = _split(cross.to_q(hidden), cross.heads), _split(cross.to_k(prompt), cross.heads)
        logits = (query @ key.transpose(-1, -2)).float() / query.shape[-1] ** 0.5
        found: Tensor = logits.softmax(dim=-1).mean(dim=1)
        return found


class PromptAttnProcessor:
    """Plain cross-attention that stands beside `TextAwareAttnProcessor`, and is given the same arguments."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,  # noqa: ARG002
        temb: Tensor | None = None,  # noqa: ARG002
        prompt_states: Tensor | None = None,  # noqa: ARG002
        prompt_tokens: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        """As diffusers' processors; `hidden_states` is float (N, pixels, channels)."""
        seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            _split(part, attn.heads) for part in (attn.to_q(hidden_states), attn.to_k(seen), attn.to_v(seen))
        )
        return _out(attn, functional.scaled_dot_product_attention(query, key, value))


def _split(states: Tensor, heads: int) -> Tensor:
    """(N, length, heads · d) as (N, heads, length, d)."""
    number, length, width = states.shape
    return states.view(number, length, heads, width // heads).transpose(1, 2)


def _out(attn: Attention, states: Tensor) -> Tensor:
    """The attention's last layer on (N, heads, length, d)."""
    layers: Any = attn.to_out
    found: Tensor = layers[1](layers[0](states.transpose(1, 2).flatten(2)))
    return found
