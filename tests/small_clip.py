"""A CLIP of the real classes that is built in a moment: random weights, and a tokenizer of a few words."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

WORDS = ("a", "polyp", "in", "the", "centre", "pink", "pale", "mucosa", "small", "large", "of")
LENGTH = 8
SIZE = 32
MEAN, DEVIATION = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)


def small_clip() -> CLIPModel:
    """A model of 32 px and 8 tokens."""
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        vision_config={**shape, "image_size": SIZE, "patch_size": 8},
        text_config={
            **shape,
            "vocab_size": len(WORDS) + 4,
            "max_position_embeddings": LENGTH,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
        },
        projection_dim=12,
    )
    return CLIPModel(config).eval()


def small_tokenizer() -> PreTrainedTokenizerFast:
    """Words by numbers from 4 on, between a begin and an end."""
    tokens = ["<pad>", "<begin>", "<end>", "<unknown>", *WORDS]
    tokenizer = Tokenizer(WordLevel({token: number for number, token in enumerate(tokens)}, unk_token="<unknown>"))  # noqa: S106
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="<begin> $A <end>", special_tokens=[("<begin>", 1), ("<end>", 2)]
    )
    marks = {"pad_token": "<pad>", "bos_token": "<begin>", "eos_token": "<end>", "unk_token": "<unknown>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks)


def save_clip(folder: Path) -> None:
    """The model, its tokenizer and its pictures' mean and deviation, as transformers saves them."""
    small_clip().save_pretrained(folder)
    small_tokenizer().save_pretrained(folder)
    settings = {"image_processor_type": "CLIPImageProcessor", "image_mean": MEAN, "image_std": DEVIATION}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
