"""The attributes that captions name: their values, and the words that say them.

A value belongs to one attribute only, so that a value alone tells which attribute is meant.
"""

from __future__ import annotations

from collections.abc import Mapping

from polyp_aug.errors import ConfigurationError

#: What is said of a polyp: attribute → value → words that say it. The first is the word that is written.
FOREGROUND: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "place": {
        "upper left": ("upper left", "top left"),
        "upper right": ("upper right", "top right"),
        "lower left": ("lower left", "bottom left"),
        "lower right": ("lower right", "bottom right"),
        "centre": ("centre", "center", "central", "centrally", "middle"),
    },
    "size": {
        "small": ("small", "little", "tiny", "diminutive"),
        "medium": ("medium", "moderate", "moderately sized", "mid sized"),
        "large": ("large", "big", "huge", "extensive"),
    },
    "shape": {
        "round": ("round", "rounded", "roundish", "circular", "spherical"),
        "oval": ("oval", "ovoid", "elliptical", "elongated"),
        "irregular": ("irregular", "irregularly", "lobed", "lobulated", "asymmetric"),
    },
    "colour": {
        "pale": ("pale", "paler", "whitish", "pallid", "white", "light coloured", "light colored"),
        "similar": ("mucosa coloured", "similar", "same colour", "same color", "mucosa colored", "isochromatic"),
        "reddish": ("reddish", "red", "redder", "erythematous", "hyperaemic", "hyperemic"),
    },
    "texture": {
        "smooth": ("smooth",),
        "uneven": ("uneven", "slightly rough"),
        "nodular": ("nodular", "bumpy", "lumpy", "knobbly", "granular"),
    },
    "type": {
        "pedunculated": ("pedunculated", "stalk", "stalked", "peduncle"),
        "sessile": ("sessile", "broad based"),
        "flat": ("flat", "flattened"),
    },
}

#: What is said of the mucosa around. `lumen` is about a dark one; `hidden` is said as its denial.
BACKGROUND: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "tone": {
        "pink": ("pink", "pinkish", "rosy"),
        "red": ("red", "reddish"),
        "orange": ("orange", "yellowish", "yellow"),
    },
    "brightness": {
        "dim": ("dim", "dimly", "poorly lit", "dark mucosa"),
        "evenly lit": ("evenly lit", "normally lit"),
        "bright": ("bright", "brightly", "well lit"),
    },
    "highlights": {
        "matt": ("matt", "matte", "dull"),
        "glossy": ("glossy", "shiny", "highlights", "reflections", "specular"),
    },
    "lumen": {
        "visible": ("lumen",),
        "hidden": (),
    },
}

#: Attributes that the mask alone decides.
OF_MASK = ("place", "size", "shape")

#: Attributes of a polyp that only the picture shows.
OF_LOOK = ("colour", "texture", "type")


def parse_attribute(text: str) -> tuple[str, str]:
    """`colour=pale` as attribute and value.

    Words of the attribute stand for its value (`colour=red` for reddish). Values are unique, so one of another
    attribute corrects the name: `shape=pedunculated` is `type=pedunculated`.

    Raises:
        ConfigurationError: no such attribute or value; the message names those that there are.
    """
    name, equals, value = (" ".join(part.lower().replace("-", " ").split()) for part in text.partition("="))
    name = {"color": "colour"}.get(name, name)
    tables = {**FOREGROUND, **BACKGROUND}
    if not equals or name not in tables:
        raise ConfigurationError(f"expected attribute=value, of {', '.join(tables)} (got {text!r})")
    for own, words in tables[name].items():
        if value == own or value in words:
            return name, own
    for attribute, values in tables.items():
        if value in values:
            return attribute, value
    raise ConfigurationError(f"{name} is one of {', '.join(tables[name])} (got {value!r})")
