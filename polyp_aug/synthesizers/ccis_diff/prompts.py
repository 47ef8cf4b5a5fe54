"""Captions as the networks read them: embeddings, and which tokens are the caption's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer


def tokenize(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Tokens of captions; what doesn't fit into the tokenizer's length is cut off.

    Args:
        tokenizer: with its own begin, end and padding.
        captions: N texts; "" is the empty prompt.

    Returns:
        Their ids, int64 (N, tokens), and which are the captions' own, bool (N, tokens): those after the begin and
        before the end.
    """
    length = tokenizer.model_max_length
    found = tokenizer(list(captions), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    ids: Tensor = found.input_ids
    ended = (ids == tokenizer.eos_token_id).cumsum(dim=1) > 0
    return ids, ~ended & (ids != tokenizer.bos_token_id)


def embed(text_encoder: CLIPTextModel, ids: Tensor) -> Tensor:
    """Embeddings of tokens, float (N, tokens, features), as Stable Diffusion takes them: the last layer's states."""
    found: Tensor = text_encoder(ids.to(text_encoder.device))[0]
    return found


def mirrored(caption: str, *, across: bool, upside_down: bool) -> str:
    """The caption of a mirrored frame.

    Args:
        caption: words of English; "left" and "right", "upper" and "lower", "top" and "bottom" change places.
        across: the frame's left side has become its right one.
        upside_down: its upper side has become its lower one.
    """
    pairs = [("left", "right")] * across + [("upper", "lower"), ("top", "bottom")] * upside_down
    swapped = {word: other for first, second in pairs for word, other in ((first, second), (second, first))}
    return "".join(swapped.get(part, part) for part in _words(caption))


def _words(text: str) -> list[str]:
    """The text cut where letters begin and end."""
    parts: list[str] = []
    for letter in text:
        if parts and letter.isalpha() == parts[-1][-1].isalpha():
            parts[-1] += letter
        else:
            parts.append(letter)
    return parts


def drop_captions(ids: Tensor, own: Tensor, empty: Tensor, dropped: Tensor) -> tuple[Tensor, Tensor]:
    """Captions, some of which are replaced by the empty prompt.

    Args:
        ids: int64 (N, tokens).
        own: bool (N, tokens).
        empty: the empty prompt's tokens, int64 (1, tokens).
        dropped: bool (N,).
    """
    return torch.where(dropped[:, None], empty, ids), own & ~dropped[:, None]
