"""What a search for better hyperparameters knows: what is tried, what was adopted.

>>> Trial(1, "all", "max_depth-", {"max_depth": 6}, {"max_depth": 4}, born=7, level=0.02).shown
'max_depth 6 -> 4'

It is JSON in the decision's ledger, so the next cycle goes on where the last one ended, a replay
does the same, and a person can read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from ratchet.contracts.betting import Bettor
from ratchet.contracts.lineage import digest_of
from ratchet.contracts.recipes import Recipe
from ratchet.contracts.search import shadow_name

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


@dataclass(frozen=True)
class Trial:
    """A mutation in the race.

    Attributes:
        number: 1 for the first that was ever tried here.
        parent: the recipe's name.
        step: how it differs; two steps are joined by a comma.
        base, recipe: the parent and the mutation, as JSON.
        born: index of the window in which it was first trained.
        level: the chance of adopting it though it is no better.
        bettor: what the bets on it have come to.
        looks: (window, mean gain over its parent, standard error) of each scored window.
        made: tick as of which it was last trained; None before.
    """

    number: int
    parent: str
    step: str
    base: Mapping[str, Any]
    recipe: Mapping[str, Any]
    born: int
    level: float
    bettor: Bettor = field(default_factory=Bettor)
    looks: tuple[tuple[int, float, float], ...] = ()
    made: int | None = None

    @property
    def name(self) -> str:
        """The parent's, and four digits of its own content."""
        return shadow_name(self.parent, self.recipe)

    @property
    def shown(self) -> str:
        """What it changes."""
        return difference(self.base, self.recipe)

    @property
    def gain(self) -> tuple[float, float]:
        """Mean gain over its windows, and the standard error."""
        n = max(len(self.looks), 1)
        mean = math.fsum(g for _, g, _ in self.looks) / n
        return mean, math.sqrt(math.fsum(e * e for _, _, e in self.looks)) / n

    @property
    def so_far(self) -> str:
        """What it has shown, in words."""
        gain, error = self.gain
        won = self.bettor.evidence * self.level >= 1
        return (
            f"loss smaller by {gain:.4f} +- {error:.4f} over {len(self.looks)} windows, "
            f"evidence {self.bettor.evidence:.3g} {'>=' if won else '<'} {1 / self.level:.3g}"
        )


@dataclass(frozen=True)
class Change:
    """A mutation that was adopted: it holds for cycles of windows after ``window``, while the
    recipe of this name is declared as it was (``declared``, a digest)."""

    name: str
    window: int
    step: str
    declared: str
    recipe: Mapping[str, Any]
    because: str


@dataclass(frozen=True)
class State:
    """All that a search knows.

    Attributes:
        started: how many mutations were ever tried.
        purse: cells that trials may spend.
        judged_before: tick; rows of earlier events have chosen what is tried.
        trials: in the race, oldest first.
        changes: adopted, oldest first.
        tried: recipe's name to the steps tried since its last change.
        favoured: recipe's name to the steps that come next.
    """

    started: int = 0
    purse: float = 0.0
    judged_before: int | None = None
    trials: tuple[Trial, ...] = ()
    changes: tuple[Change, ...] = ()
    tried: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    favoured: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict, as decisions keep it."""
        found: dict[str, Any] = _plain(asdict(self))
        return found

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> State:
        """The inverse of :meth:`as_json`; unknown keys of newer releases are ignored."""
        kept = _known(cls, value)
        kept["trials"] = tuple(_trial(t) for t in kept.get("trials", ()))
        kept["changes"] = tuple(Change(**_known(Change, c)) for c in kept.get("changes", ()))
        for name in ("tried", "favoured"):
            kept[name] = {n: tuple(steps) for n, steps in kept.get(name, {}).items()}
        return cls(**kept)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _known(kind: type, value: Mapping[str, Any]) -> dict[str, Any]:
    names = {f.name for f in fields(kind)}
    return {k: v for k, v in value.items() if k in names}


def _trial(value: Mapping[str, Any]) -> Trial:
    kept = _known(Trial, value)
    bettor = _known(Bettor, kept["bettor"])
    kept["bettor"] = Bettor(**{**bettor, "capital": tuple(bettor["capital"])})
    return Trial(**{**kept, "looks": tuple((w, g, e) for w, g, e in kept["looks"])})


def in_force(state: State, declared: AnyRecipe, window: int) -> AnyRecipe:
    """The recipe of this name as a cycle of ``window`` (index) trains it: the newest change that an
    earlier window adopted, or the declared one where there is none or it was declared anew."""
    digest = digest_of(declared.model_dump(mode="json"))
    for change in reversed(state.changes):
        if change.name == declared.name and change.window < window and change.declared == digest:
            return type(declared).model_validate(dict(change.recipe))
    return declared


def difference(base: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """What differs between two recipes."""
    changed = sorted(k for k in recipe if base.get(k) != recipe[k])
    return ", ".join(f"{k} {_value(base.get(k))} -> {_value(recipe[k])}" for k in changed)


def _value(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
