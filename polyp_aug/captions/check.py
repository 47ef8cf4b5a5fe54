"""Whether a caption says what was measured.

A text is read word by word: the words of `polyp_aug.captions.attributes` are looked up, the longest first, and a word
of denial shortly before them turns them round ("not smooth", "without a lumen"). This is no understanding of language:
in doubt, a caption is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polyp_aug.captions.attributes import BACKGROUND, FOREGROUND
from polyp_aug.captions.facts import FrameFacts
from polyp_aug.captions.writer import MOST_DESCRIBED, Caption, words

#: Words that deny what follows within so many words of the same clause.
DENIALS = frozenset(
    {"no", "not", "non", "without", "neither", "nor", "never", "isn't", "less", "lacks", "lacking", "absent"}
)
DENIED_WITHIN = 3

#: Parts of a place, which may stand alone.
SIDES = {
    "left": "left",
    "right": "right",
    "upper": "upper",
    "top": "upper",
    "lower": "lower",
    "bottom": "lower",
}

#: Claims that nothing here has measured.
UNMEASURED = frozenset(
    """
    adenoma adenomatous adenocarcinoma cancer cancerous carcinoma malignant malignancy benign dysplasia dysplastic
    hyperplastic serrated neoplastic neoplasia tumor tumour inflamed inflammation ulcer ulcerated ulceration bleeding
    blood caecum cecum rectum sigmoid ascending descending transverse patient biopsy mm cm millimetre centimetre
    millimeter centimeter paris
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Mention:
    """That a text names a value of an attribute, or denies it."""

    attribute: str
    value: str
    denied: bool
    said: str


def mentions(text: str, tables: Mapping[str, Mapping[str, Sequence[str]]]) -> list[Mention]:
    """The values that a text names, in its order; `tables` is `FOREGROUND` or `BACKGROUND`.

    The sides of a place that stand alone are mentions of the attribute "side".
    """
    tokens = words(text)
    phrases = sorted(
        (
            (tuple(phrase.split()), name, value)
            for name, values in tables.items()
            for value, said in values.items()
            for phrase in said
        ),
        key=lambda entry: -len(entry[0]),
    )
    found: list[Mention] = []
    position = 0
    while position < len(tokens):
        for phrase, name, value in phrases:
            if tuple(tokens[position : position + len(phrase)]) == phrase:
                found.append(Mention(name, value, _denied(tokens, position), " ".join(phrase)))
                position += len(phrase)
                break
        else:
            if "place" in tables and tokens[position] in SIDES:
                side = tokens[position]
                found.append(Mention("side", SIDES[side], _denied(tokens, position), side))
            position += 1
    return found


def contradictions(caption: Caption, facts: FrameFacts) -> list[str]:
    """What in a caption is not so, as sentences; empty where it agrees with the facts.

    The foreground needs a sentence for each of the `MOST_DESCRIBED` largest polyps, in their order.
    """
    sentences = split_sentences(caption.foreground)
    expected = min(len(facts.polyps), MOST_DESCRIBED)
    reasons = []
    if len(sentences) != expected:
        reasons.append(f"the foreground has {len(sentences)} sentences, expected {expected}: one for each polyp")
    else:
        for number, (sentence, polyp) in enumerate(zip(sentences, facts.polyps, strict=False), start=1):
            where = "the foreground" if expected == 1 else f"sentence {number} of the foreground"
            reasons += _reasons(sentence, polyp.values(), FOREGROUND, where)
    if len(split_sentences(caption.background)) != 1:
        reasons.append("the background must be one sentence")
    reasons += _reasons(caption.background, facts.background.values(), BACKGROUND, "the background")
    if {"polyp", "polyps", "lesion", "lesions"} & set(words(caption.background)):
        reasons.append("the background speaks of a polyp")
    invented = sorted(UNMEASURED & set(words(caption.text)))
    if invented:
        reasons.append(f"the text names what was not measured: {', '.join(invented)}")
    if any(character.isdigit() for character in caption.text):
        reasons.append("the text has numbers, expected words alone")
    return reasons


def named(text: str, values: Mapping[str, str], tables: Mapping[str, Mapping[str, Sequence[str]]]) -> set[str]:
    """The attributes whose value in `values` a text names; "hidden" counts as named where the lumen is denied."""
    found = {
        mention.attribute
        for mention in mentions(text, tables)
        if not mention.denied and values.get(mention.attribute) == mention.value
    }
    if values.get("lumen") == "hidden" and any(
        mention.attribute == "lumen" and mention.denied for mention in mentions(text, tables)
    ):
        found.add("lumen")
    return found


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, which end with a full stop or a semicolon."""
    parts = (part.strip() for part in text.replace(";", ".").split("."))
    return [part for part in parts if part]


def _reasons(
    text: str, values: Mapping[str, str], tables: Mapping[str, Mapping[str, Sequence[str]]], where: str
) -> list[str]:
    reasons = []
    for mention in mentions(text, tables):
        if mention.attribute == "side":
            name, measured = "place", values["place"]
            same = mention.value in measured.split()
        else:
            name, measured = mention.attribute, values[mention.attribute]
            same = mention.value == measured
        if same == mention.denied:
            said = f"not {mention.said}" if mention.denied else mention.said
            reasons.append(f"{where} says {said!r}, but the {name} is {measured}")
    return reasons


def _denied(tokens: Sequence[str], position: int) -> bool:
    for token in reversed(tokens[max(0, position - DENIED_WITHIN) : position]):
        if token in {".", ",", ";", "but", "and", "with"}:
            return False
        if token in DENIALS:
            return True
    return False
