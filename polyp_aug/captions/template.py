"""The template writer: several wordings of the same facts in a small closed vocabulary."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache

from polyp_aug.captions.attributes import BACKGROUND, FOREGROUND
from polyp_aug.captions.facts import FrameFacts
from polyp_aug.captions.writer import MOST_DESCRIBED, Caption, WriterIdentity, words
from polyp_aug.keys import Key

#: Every one names all attributes once.
FOREGROUND_WORDINGS = (
    "a {size} {shape} {colour} {type} polyp with a {texture} surface in the {place}",
    "a {size} {shape} {type} polyp, {colour} and {texture}, in the {place}",
    "a {colour} {type} polyp of {size} size and {shape} shape with a {texture} surface in the {place}",
    "in the {place} a {size} {shape} {colour} {type} polyp with a {texture} surface",
    "a {texture} {colour} {type} polyp in the {place}, {size} and {shape}",
    "in the {place} a {texture} {type} polyp, {size}, {shape} and {colour}",
)
BACKGROUND_WORDINGS = (
    "{brightness} {tone} mucosa, {highlights}, {lumen}",
    "{highlights} {tone} mucosa, {brightness}, {lumen}",
    "{tone} mucosa, {brightness} and {highlights}, {lumen}",
    "{brightness} and {highlights} {tone} mucosa {lumen}",
)

_LUMEN = {"visible": "with a dark lumen", "hidden": "without a dark lumen"}
_ARTICLE = re.compile(r"\ba (?=[aeiou])")


class TemplateWriter:
    """Chooses a wording by the key and fills in the facts."""

    def __init__(self) -> None:
        text = repr((FOREGROUND_WORDINGS, BACKGROUND_WORDINGS, vocabulary()))
        self.identity = WriterIdentity("template", "", hashlib.sha256(text.encode()).hexdigest()[:16])

    def write(self, facts: FrameFacts, key: Key) -> Caption:
        """The caption; see `CaptionWriter`. A sentence has at most 18 words, the background 10."""
        generator = key.generator("wording")
        chosen = generator.integers(len(FOREGROUND_WORDINGS), size=MOST_DESCRIBED)
        background = BACKGROUND_WORDINGS[int(generator.integers(len(BACKGROUND_WORDINGS)))]
        sentences = [
            _filled(FOREGROUND_WORDINGS[int(number)], FOREGROUND, polyp.values())
            for number, polyp in zip(chosen, facts.polyps, strict=False)
        ]
        return Caption(". ".join(sentences), _filled(background, BACKGROUND, facts.background.values()))


@cache
def vocabulary() -> tuple[str, ...]:
    """Every word that the template writer can say, and the marks "," and ".", sorted: one token each."""
    found = {",", "."}
    for wordings, tables in ((FOREGROUND_WORDINGS, FOREGROUND), (BACKGROUND_WORDINGS, BACKGROUND)):
        for wording in wordings:
            longest = max(map(len, tables.values()))
            for number in range(longest):
                values = {name: _nth(list(table), number) for name, table in tables.items()}
                found |= set(words(_filled(wording, tables, values)))
    return tuple(sorted(found | {"a", "an"}))


def _filled(wording: str, tables: Mapping[str, Mapping[str, tuple[str, ...]]], values: Mapping[str, str]) -> str:
    said = {name: _LUMEN[value] if name == "lumen" else tables[name][value][0] for name, value in values.items()}
    return _ARTICLE.sub("an ", wording.format(**said))


def _nth(values: Sequence[str], number: int) -> str:
    return values[number % len(values)]
