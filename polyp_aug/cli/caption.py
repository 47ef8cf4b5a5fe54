"""`polyp-aug caption`: what is seen on the frames of a data set, in words."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyp_aug.cli.output import errors, output, progress_bar
from polyp_aug.errors import ConfigurationError
from polyp_aug.optional import require

if TYPE_CHECKING:
    from polyp_aug.captions.writer import CaptionWriter


class Writer(StrEnum):
    """Who writes."""

    TEMPLATE = "template"
    CHAT = "chat"


class Dtype(StrEnum):
    """What a model computes in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


def caption(
    dataset: Annotated[Path, typer.Argument(help="COCO file, or folder with annotations.json; polyps with masks.")],
    out: Annotated[
        Path | None, typer.Option(help="File of JSON lines to write; captions.jsonl beside the COCO file if not given.")
    ] = None,
    writer: Annotated[
        Writer, typer.Option(help="Templates with a small vocabulary, or a chat model that runs here.")
    ] = Writer.TEMPLATE,
    model: Annotated[
        str, typer.Option(help="Chat model of transformers: a folder, org/name or org/name@commit; for --writer chat.")
    ] = "",
    attempts: Annotated[
        int, typer.Option(min=1, help="How often a chat model is asked before the templates are taken.")
    ] = 3,
    device: Annotated[str, typer.Option(help="Of the chat model: cpu, cuda, cuda:N or mps.")] = "cpu",
    dtype: Annotated[Dtype, typer.Option(help="What the chat model computes in; auto is that of its weights.")] = (
        Dtype.AUTO
    ),
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
) -> None:
    """Measure facts of polyps and mucosa, and write captions that say them. An interrupted file goes on."""
    from polyp_aug.captions.dataset import caption_dataset

    chosen = _writer(writer, model, attempts, device, dtype)
    with progress_bar("frames") as show:
        found = caption_dataset(dataset, chosen, out, seed=seed, observer=show)
    for reason, count in found.skipped.items():
        text = f"{count} frames without a caption: {reason}"
        errors.print(text, markup=False, highlight=False, soft_wrap=True)
    lines = [f"{found.written} captions of {found.polyps} polyps"]
    if found.fell_back:
        rejected = "1 answer each was" if attempts == 1 else f"{attempts} answers each were"
        lines.append(f"{found.fell_back} of them by templates, since {rejected} rejected")
    output.print("\n".join([*lines, f"Wrote {found.file}"]), markup=False, highlight=False, soft_wrap=True)


def _writer(writer: Writer, model: str, attempts: int, device: str, dtype: Dtype) -> CaptionWriter:
    from polyp_aug.captions.template import TemplateWriter

    if writer is Writer.TEMPLATE:
        if model:
            raise ConfigurationError(f"'--model {model}' is for '--writer chat'")
        return TemplateWriter()
    if not model:
        raise ConfigurationError("'--writer chat' needs '--model', a folder or hub id of a chat model")
    require("transformers", "diffusion")
    from polyp_aug.captions.chat import ChatWriter
    from polyp_aug.captions.chat_model import load_chat

    return ChatWriter(load_chat(model, device=device, dtype=dtype.value), attempts)
