"""Where frames and painted polyps come from, and whether that is a frame, patient or sequence of a given set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from polyp_aug.scene import Source

_FIELDS = tuple(field.name for field in fields(Source))


class Origins:
    """The frames of a set, by file, patient and sequence.

    Two sources are of one origin where they have the same group, or the same file, unless both name a data set and
    these differ. File names that sets without a name happen to share are taken for one: rather refused than leaked.

    Args:
        sources: of the set's frames.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self._groups: dict[str, set[str]] = defaultdict(set)
        self._files: dict[str, set[str]] = defaultdict(set)
        for source in sources:
            self._files[source.file].add(source.dataset)
            if source.group:
                self._groups[source.group].add(source.dataset)

    def shared(self, source: Source) -> str | None:
        """What a source shares with the set, "group …" or "file …", or None."""
        if source.group and _meet(self._groups.get(source.group), source.dataset):
            return f"group {source.group}"
        if _meet(self._files.get(source.file), source.dataset):
            return f"file {source.file}"
        return None


def source_of(values: Mapping[str, Any]) -> Source:
    """A source from its JSON object; keys that it doesn't know are left out."""
    return Source(**{name: str(values[name]) for name in _FIELDS if values.get(name)})


def reference_sources(provenance: Mapping[str, Any]) -> tuple[Source, ...]:
    """The frames of all reference polyps that a painted polyp's provenance names, wherever it names them.

    A reference is known by an object `…_source`, or by its id alone, `file#annotation`; whether its pixels were used,
    or its size or place.
    """
    found: dict[str, Source] = {}
    for name, value in _leaves(provenance):
        if isinstance(value, Mapping):
            source = source_of(value)
            found[source.file] = source
        elif name.endswith("reference") and isinstance(value, str) and "#" in value:
            file = value.rpartition("#")[0]
            found.setdefault(file, Source(file=file))
    return tuple(found[name] for name in sorted(found))


def _leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if name.endswith("_source") and isinstance(value, Mapping) and value.get("file"):
            yield name, value
        elif isinstance(value, Mapping):
            yield from _leaves(value)
        else:
            yield name, value


def _meet(known: set[str] | None, dataset: str) -> bool:
    return known is not None and (not dataset or "" in known or dataset in known)
