"""Chat models of transformers: any that generates text and has a chat template, from a folder or the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from jinja2.exceptions import TemplateError
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from polyp_aug.errors import ConfigurationError
from polyp_aug.keys import Key

#: A turn of a conversation: `role` ("user" or "assistant") and `content`.
Message = dict[str, str]

#: Longest answer in tokens.
MOST_TOKENS = 200

#: Of sampling: near to what the model finds likely, yet not the same words every time.
TEMPERATURE, TOP_P = 0.7, 0.95

#: Endings of the files of a folder that decide the words.
_FILES = (".json", ".jinja", ".model", ".safetensors", ".txt")


class ChatModel(Protocol):
    """Something that answers.

    Attributes:
        name: folder or hub id.
        revision: what identifies its weights.
    """

    name: str
    revision: str

    def answer(self, messages: Sequence[Message], key: Key) -> str:
        """The answer to a conversation that ends with a turn of the user; equal keys give equal answers."""
        ...


class TransformersChat:
    """A causal language model with its tokenizer's chat template."""

    def __init__(self, model: Any, tokenizer: Any, name: str, revision: str) -> None:
        """Wrap a model that is loaded already.

        Raises:
            ConfigurationError: the tokenizer has no chat template.
        """
        if not tokenizer.chat_template:
            raise ConfigurationError(f"{name}: the tokenizer has no chat template, expected a chat model")
        self.name = name
        self.revision = revision
        self._model = model.eval().requires_grad_(False)
        self._tokenizer = tokenizer
        ends = model.generation_config.eos_token_id
        ends = tokenizer.eos_token_id if ends is None else ends
        first = ends[0] if isinstance(ends, list) else ends
        padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else first
        self._generation = GenerationConfig(
            do_sample=True,
            temperature=TEMPERATURE,
            top_p=TOP_P,
            top_k=0,
            max_new_tokens=MOST_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=ends,
            pad_token_id=padding,
        )
        # What stands in the weights' folder would be mixed into ours.
        self._model.generation_config = self._generation

    def answer(self, messages: Sequence[Message], key: Key) -> str:
        """See `ChatModel`. torch's own generators are left as they were.

        Raises:
            ConfigurationError: the chat template can't be applied, or the conversation is too long for the model.
        """
        try:
            inputs = self._tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        except (TemplateError, ValueError) as error:
            raise ConfigurationError(f"{self.name}: the chat template can't be applied ({error})") from error
        device = self._model.device
        tokens = inputs["input_ids"].to(device)
        longest = getattr(self._model.config, "max_position_embeddings", None)
        if longest is not None and tokens.shape[1] + MOST_TOKENS > longest:
            needed = f"{tokens.shape[1]} tokens and {MOST_TOKENS} for the answer"
            raise ConfigurationError(f"{self.name}: takes {longest} tokens, expected room for {needed}")
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(key.torch_seed("chat"))
            written = self._model.generate(
                tokens,
                attention_mask=inputs["attention_mask"].to(device),
                generation_config=self._generation,
            )
        text: str = self._tokenizer.decode(written[0, tokens.shape[1] :], skip_special_tokens=True)
        return text


def load_chat(name: str, *, device: str = "cpu", dtype: str = "auto") -> TransformersChat:
    """Load a chat model. Only safetensors are read, and no code of the folder runs.

    Args:
        name: a transformers folder, or a hub id, `org/name` or, so that it stays the same, `org/name@commit`.
        device: "cpu", "cuda", "cuda:1", "mps".
        dtype: "float32", "float16", "bfloat16", or "auto" for that of the weights.

    Raises:
        ConfigurationError: it can't be loaded, is no chat model, or torch finds no such device.
    """
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        raise ConfigurationError(f"'device' is {device}, and torch finds no such device ({error})") from error
    folder = Path(name)
    source, _, commit = (name, "", "") if folder.is_dir() else name.partition("@")
    options: dict[str, Any] = {"trust_remote_code": False, "revision": commit or None}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        model, report = AutoModelForCausalLM.from_pretrained(
            source, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
        )
        model = model.to(device)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ConfigurationError(f"{name}: can't be loaded as a chat model ({error})") from error
    # transformers gives random values to what the file lacks, and only warns.
    missing = sorted(report["missing_keys"])
    if missing:
        raise ConfigurationError(f"{name}: the weights lack {len(missing)} tensors, the first of them {missing[0]}")
    revision = _digest(folder) if folder.is_dir() else str(model.config._commit_hash)
    return TransformersChat(model, tokenizer, folder.name if folder.is_dir() else source, f"{revision} {model.dtype}")


def _digest(folder: Path) -> str:
    """16 digits of a SHA-256 over names and contents of a folder's files."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix in _FILES:
            with open(file, "rb") as stream:
                digest.update(file.name.encode("utf-8", "surrogateescape") + b"\0")
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
