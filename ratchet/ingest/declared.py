"""Which columns an object must have, may have, and may carry along unread.

>>> declared_for("labels", definition).wanted                           # doctest: +SKIP
('flight_id', 'late', 'scheduled_at')

A column that was added, dropped, renamed or retyped upstream is named here, before any training.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

from ratchet.contracts.definition import Definition
from ratchet.errors import Unreadable
from ratchet.ingest.values import Role, names_shown, shown

_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True)
class Declared:
    """Column names by what they are to an object of one role."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    tolerated: frozenset[str]
    ignore: tuple[str, ...]

    @property
    def wanted(self) -> tuple[str, ...]:
        """The columns to read, each once."""
        return tuple(dict.fromkeys(self.required + self.optional))

    def check(self, names: list[str]) -> None:
        """Refuse an object that lacks a required column or carries an undeclared one.

        Raises:
            Unreadable: naming them, and what they may have been called.
        """
        missing = [n for n in self.required if n not in names]
        extra = [n for n in names if not self._allowed(n)]
        if missing:
            raise Unreadable(_missing(missing, extra))
        if extra:
            raise Unreadable(
                f"undeclared columns: {names_shown(extra)}; declare them under [features], or list "
                "them in source.ignore"
            )

    def _allowed(self, name: str) -> bool:
        known = (*self.wanted, *self.tolerated, *self.ignore)
        return "*" in self.ignore or name in known or bool(_PANDAS_INDEX.fullmatch(name))


def declared_for(role: Role, definition: Definition) -> Declared:
    """The columns of an object of this role.

    Features need the key, the time and every feature; ``both`` and ``trusted`` also the label.
    Labels need the key and the label, and either the time or ``label.known_column``. What is
    declared elsewhere in the definition may come along: it is not read.
    """
    source, label, time = definition.source, definition.label, definition.time.column
    known = (label.known_column,) if label.known_column else ()
    features = tuple(definition.features)
    everything = frozenset((*source.key, time, *features, label.column, *known))
    if role in ("labels", "true_objective"):
        required = (*source.key, label.column, *(known or (time,)))
        return Declared(required, (time,), everything, source.ignore)
    required = (*source.key, time, *features)
    if role in ("both", "trusted"):
        required = (*required, label.column, *known)
    return Declared(required, (), everything, source.ignore)


def with_true_objective(definition: Definition) -> Definition:
    """The pipeline with its true objective in the place of the label, to read its objects.

    Raises:
        Unreadable: none is declared.
    """
    true = definition.true_objective
    if true is None:
        raise Unreadable("[true_objective] is not declared")
    changes = {
        "column": true.column,
        "objective": "binary",
        "classes": true.classes,
        "known_column": true.known_column,
    }
    label = definition.label.model_copy(update=changes)
    return definition.model_copy(update={"label": label})


def _missing(missing: list[str], extra: list[str]) -> str:
    text = f"declared columns missing: {names_shown(missing)}"
    if not extra:
        return f"{text}; send them, or change the definition"
    close = {name: get_close_matches(name, extra, n=1, cutoff=0.4) for name in missing[:8]}
    pairs = [f"{shown(name)} -> {shown(found[0])}" for name, found in close.items() if found]
    renamed = f" (renamed: {', '.join(pairs)}?)" if pairs else ""
    return f"{text}; undeclared columns found: {names_shown(extra)}{renamed}"
