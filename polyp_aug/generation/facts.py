"""Any JSON value as a short list of (name, text) pairs, for people to read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

#: Longest text of one value, in characters; longer ones are cut and end in "…".
MAX_CHARACTERS = 400

#: Most pairs of one value; a last pair says how many were left out.
MAX_FACTS = 80

_VISIBLE_CONTROLS = {code: 0x2400 + code for code in range(32)} | {0x7F: 0x2421}


def readable(value: object) -> str:
    """One value as text on one line: control characters become their visible symbols (␊ for a line feed)."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.translate(_VISIBLE_CONTROLS)
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"


def flatten(value: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The leaves of nested JSON in the order they stand in, named by their path.

    `{"a": {"b": 1, "c": [2, 3]}}` gives `[("a.b", "1"), ("a.c", "2, 3")]`. Null, "" and empty lists and objects give
    nothing. Lists of plain values become one text; objects in a list are numbered from 1.
    """
    leaves = _leaves("", value)
    pairs = list(islice(leaves, MAX_FACTS))
    more = sum(1 for _ in leaves)
    return [*pairs, ("…", f"{more} more")] if more else pairs


def _leaves(path: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(f"{path}.{readable(name)}" if path else readable(name), item)
    elif isinstance(value, list | tuple):
        if any(isinstance(item, Mapping | list | tuple) for item in value):
            for number, item in enumerate(value, start=1):
                yield from _leaves(f"{path}.{number}", item)
        elif value:
            yield path, readable(", ".join(readable(item) for item in value))
    elif value is not None and value != "":
        yield path, readable(value)
