"""A chat model of the real classes that is built in a moment: random weights, and a tokenizer of a few texts."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE = "{% for message in messages %}<user> {{ message['content'] }}<end>{% endfor %}<assistant>"
WORD = r"\n| ?[^ \n<]+|<\w+>| "


def chat_parts(*texts: str) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A small model with random weights, and a tokenizer of the words of some texts, each with the space before it."""
    marks = ["<unknown>", "<end>"]
    known = sorted({"<user>", "<assistant>", " "}.union(*(re.findall(WORD, f" {text}") for text in texts)))
    tokens = [*marks, *known]
    tokenizer = Tokenizer(WordLevel({token: number for number, token in enumerate(tokens)}, unk_token=marks[0]))
    tokenizer.pre_tokenizer = Split(Regex(WORD), "isolated")
    tokenizer.decoder = Fuse()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=marks[0], eos_token=marks[1])
    wrapped.chat_template = TEMPLATE
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=1024,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=1,
    )
    return LlamaForCausalLM(config), wrapped


def save_untrained(folder: Path) -> None:
    """A chat model that talks nonsense, as transformers saves it."""
    for part in chat_parts("a small polyp in the upper left of pink mucosa"):
        part.save_pretrained(folder)
