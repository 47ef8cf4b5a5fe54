"""What readers are asked of every picture."""

from __future__ import annotations

from collections.abc import Sequence

from polyp_aug.errors import ConfigurationError

#: Is the picture real or synthetic?
ORIGIN = "origin"

#: The answers to `ORIGIN`.
REAL, SYNTHETIC = "real", "synthetic"

#: Ratings from 1 (poor) to 5 (excellent): the picture itself, the outline of its polyps, its caption.
FIDELITY, MASK, TEXT = "fidelity", "mask", "text"
RATINGS = (FIDELITY, MASK, TEXT)

#: All questions, in the order in which the page asks them.
QUESTIONS = (ORIGIN, *RATINGS)

#: Lowest and highest rating.
LOWEST, HIGHEST = 1, 5

#: What is asked where nothing else is said.
DEFAULT_QUESTIONS = (ORIGIN, FIDELITY)


def ordered_questions(questions: Sequence[str]) -> tuple[str, ...]:
    """Questions in the order of the page, each once.

    Raises:
        ConfigurationError: there is none, or one is unknown.
    """
    unknown = sorted(set(questions) - set(QUESTIONS))
    if unknown or not questions:
        given = repr(unknown[0]) if unknown else "none"
        raise ConfigurationError(f"questions: got {given}, expected {', '.join(QUESTIONS)}")
    return tuple(name for name in QUESTIONS if name in questions)


def is_answer(question: str, value: object) -> bool:
    """Whether `value` answers a question: "real" or "synthetic", or an integer from 1 to 5."""
    if question == ORIGIN:
        return value in (REAL, SYNTHETIC)
    return type(value) is int and LOWEST <= value <= HIGHEST
