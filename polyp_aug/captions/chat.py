"""The chat writer: a language model that runs here puts the facts into words, and is asked again where it errs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from polyp_aug.captions.attributes import BACKGROUND, FOREGROUND
from polyp_aug.captions.chat_model import ChatModel, Message
from polyp_aug.captions.check import contradictions, named, split_sentences
from polyp_aug.captions.facts import FrameFacts
from polyp_aug.captions.template import TemplateWriter
from polyp_aug.captions.writer import MOST_DESCRIBED, Caption, WriterIdentity, words
from polyp_aug.errors import ConfigurationError
from polyp_aug.keys import Key

#: Words in a sentence of the foreground and in the background, at most. Both must fit into the 77 tokens of CLIP.
MOST_WORDS = {"foreground": 24, "background": 16}

#: Attributes that a sentence names at least, the place among them.
LEAST_NAMED = 3

#: Characters of a rejected answer that the model is shown again.
MOST_SHOWN = 600

_LINE = re.compile(r"(foreground|background)\s*:\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """What a model's answer holds.

    Attributes:
        caption: the two lines, or None where the answer is not made of them.
        wrong: why it is rejected, as sentences; empty where it is accepted.
    """

    caption: Caption | None
    wrong: tuple[str, ...]


class ChatWriter:
    """Asks a chat model up to `attempts` times, then lets the template writer write."""

    def __init__(self, model: ChatModel, attempts: int = 3) -> None:
        """Raise `ConfigurationError` where `attempts` is below 1."""
        if attempts < 1:
            raise ConfigurationError(f"'attempts' must be at least 1 (got {attempts})")
        self._model = model
        self._template = TemplateWriter()
        self.identity = WriterIdentity("chat", model.name, model.revision, attempts)

    def write(self, facts: FrameFacts, key: Key) -> Caption:
        """The caption; see `CaptionWriter`."""
        messages: list[Message] = [{"role": "user", "content": request(facts)}]
        for attempt in range(1, self.identity.attempts + 1):
            text = self._model.answer(messages, key.child(attempt))
            answer = read_answer(text, facts)
            if answer.caption is not None and not answer.wrong:
                return Caption(answer.caption.foreground, answer.caption.background, attempt)
            # Only the last answer is shown again: the conversation stays short.
            shown: list[Message] = [
                {"role": "assistant", "content": text[:MOST_SHOWN].strip() or "(nothing)"},
                {"role": "user", "content": complaint(answer.wrong)},
            ]
            messages = [messages[0], *shown]
        written = self._template.write(facts, key)
        return Caption(written.foreground, written.background, self.identity.attempts, fell_back=True)


def request(facts: FrameFacts) -> str:
    """What the model is asked for."""
    described = facts.polyps[:MOST_DESCRIBED]
    lines = ["These facts were measured on a colonoscopy image."]
    for number, polyp in enumerate(described, start=1):
        lines.append(f"Polyp {number}: {_listed(polyp.values())}.")
    lines.append(f"Mucosa: {_listed(facts.background.values())}.")
    if described:
        many = (
            "one sentence" if len(described) == 1 else f"{len(described)} sentences, one for each polyp in this order"
        )
        lines += [
            "Describe the image in your own simple words. Answer with exactly two lines:",
            f"FOREGROUND: {many}, at most {MOST_WORDS['foreground']} words each, about the polyp alone: "
            "its place in the image, and at least two of size, shape, colour against the mucosa, texture and type",
        ]
    else:
        lines.append("Describe the image in your own simple words. Answer with exactly one line:")
    lines += [
        f"BACKGROUND: one sentence, at most {MOST_WORDS['background']} words, about the mucosa and the lumen alone",
        "Name each fact by its word as given. Add nothing: no diagnosis, no numbers, no organ.",
    ]
    return "\n".join(lines)


def complaint(wrong: Sequence[str]) -> str:
    """What the model is told of a rejected answer."""
    return "\n".join(["That is not right:", *(f"- {reason}" for reason in wrong), "Answer again in the same form."])


def read_answer(text: str, facts: FrameFacts) -> Answer:
    """The caption in a model's answer, and what is wrong with it.

    The answer must be the lines `FOREGROUND: …` and `BACKGROUND: …` and nothing else; without polyps the second alone.
    """
    expected = ["foreground", "background"] if facts.polyps else ["background"]
    rows = [_LINE.fullmatch(line.strip()) for line in text.strip().splitlines() if line.strip()]
    found = [(row[1].lower(), row[2].strip()) for row in rows if row]
    if len(found) != len(rows) or [name for name, _ in found] != expected:
        form = " and ".join(f"{name.upper()}: …" for name in expected)
        return Answer(None, (f"the answer is not made of the lines {form}",))
    parts = {name: ". ".join(split_sentences(said.lower())) for name, said in found}
    caption = Caption(parts.get("foreground", ""), parts["background"])
    return Answer(caption, (*contradictions(caption, facts), *_poor(caption, facts)))


def _poor(caption: Caption, facts: FrameFacts) -> list[str]:
    """What is too long, or says too little."""
    reasons = []
    sentences = split_sentences(caption.foreground)
    for sentence, polyp in zip(sentences, facts.polyps, strict=False):
        said = named(sentence, polyp.values(), FOREGROUND)
        if len(said) < LEAST_NAMED or "place" not in said:
            reasons.append(f"{sentence!r} names too few facts, expected the place ({polyp.place}) and two others")
    if not named(caption.background, facts.background.values(), BACKGROUND):
        reasons.append("the background names none of the facts")
    for name, parts in (("foreground", sentences), ("background", [caption.background])):
        longest = max((sum(word.isalpha() for word in words(part)) for part in parts), default=0)
        if longest > MOST_WORDS[name]:
            reasons.append(f"the {name} has a sentence of {longest} words, expected at most {MOST_WORDS[name]}")
    return reasons


def _listed(values: dict[str, Any]) -> str:
    said = {"similar": "mucosa coloured", "visible": "dark lumen in view", "hidden": "no dark lumen in view"}
    return ", ".join(f"{name} {said.get(value, value)}" for name, value in values.items())
