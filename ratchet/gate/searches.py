"""What the gate knows from earlier searches for weak slices, and what the next question may risk.

>>> round(Searches().level(0.05), 4), round(Searches(asked=5, found=1).level(0.05), 4)
(0.0096, 0.0009)

Promise: the levels of all questions depend on how many were asked and how many found a slice alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ratchet.gate.rule import Rule

DECAY, TOTAL = 1.6, 2.2857656  # g(t) = t ** -DECAY / TOTAL; TOTAL is the sum of all t ** -DECAY
MOST_WATCHED = 8


@dataclass(frozen=True)
class Watched:
    """A slice that was found, and the tick of event time from which on it is forgotten."""

    rule: Rule
    until: int


@dataclass(frozen=True)
class Searches:
    """What the gate knows about slices that nobody declared.

    Attributes:
        asked: questions so far; it decides the next level.
        found: how many of them found a slice.
        watched: newest first.
    """

    asked: int = 0
    found: int = 0
    watched: tuple[Watched, ...] = field(default=())

    def level(self, alpha: float) -> float:
        """Level of the next question (reshaped LOND)."""
        shape = math.fsum(k ** (1 - DECAY) for k in range(1, self.found + 2)) / TOTAL
        return float(alpha * (self.asked + 1) ** -DECAY / TOTAL * shape)

    def after(self, *, found: bool) -> Searches:
        """The state after one more question."""
        return replace(self, asked=self.asked + 1, found=self.found + found)

    def remember(self, rule: Rule, until: int) -> Searches:
        """The state that watches this slice too; the oldest gives way."""
        others = [w for w in self.watched if w.rule != rule]
        return replace(self, watched=(Watched(rule, until), *others)[:MOST_WATCHED])

    def forget(self, now: int) -> Searches:
        """The state without what has been watched for long enough."""
        return replace(self, watched=tuple(w for w in self.watched if w.until > now))

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict, as decisions keep it."""
        watched = [{"rule": w.rule.as_json(), "until": w.until} for w in self.watched]
        return {"asked": self.asked, "found": self.found, "watched": watched}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Searches:
        """The inverse of :meth:`as_json`; unknown keys of newer releases are ignored."""
        known = {f.name: value[f.name] for f in fields(cls) if f.name in value}
        kept = known.pop("watched", [])
        watched = tuple(Watched(Rule.from_json(w["rule"]), w["until"]) for w in kept)
        return cls(**known, watched=watched)
