"""What writes captions, and what a caption is."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Protocol

from polyp_aug.captions.facts import FrameFacts
from polyp_aug.keys import Key

#: Polyps of a frame that are described: the largest. All of them are in the facts.
MOST_DESCRIBED = 3

_TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)?|[0-9]+|[.,;]")


@dataclass(frozen=True)
class Caption:
    """The two texts of a frame.

    Attributes:
        foreground: a sentence for each polyp that is described, the largest first, separated by ". "; empty where there
            is no polyp.
        background: a sentence about the mucosa.
        attempts: how often the writer was asked.
        fell_back: whether the template writer wrote it, since all attempts of another one were rejected.
    """

    foreground: str
    background: str
    attempts: int = 1
    fell_back: bool = False

    @property
    def text(self) -> str:
        """Both texts as one: the prompt."""
        return ". ".join(part for part in (self.foreground, self.background) if part)


@dataclass(frozen=True)
class WriterIdentity:
    """Which writer it is.

    Attributes:
        name: "template" or "chat".
        model: folder or hub id of a chat model; empty for the template writer.
        revision: what identifies its weights, or the wordings.
        attempts: how often it is asked at most.
    """

    name: str
    model: str
    revision: str
    attempts: int = 1

    def to_dict(self) -> dict[str, str | int]:
        """Plain JSON types."""
        return asdict(self)


class CaptionWriter(Protocol):
    """Writes a caption of facts. Equal facts and keys give the same words."""

    identity: WriterIdentity

    def write(self, facts: FrameFacts, key: Key) -> Caption:
        """The caption of a frame; it contradicts none of the facts."""
        ...


def words(text: str) -> list[str]:
    """The words of a text in lower case, and its full stops, commas and semicolons; hyphens part words."""
    return _TOKEN.findall(text.lower())
