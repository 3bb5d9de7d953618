"""Mutations of a recipe: which there are, and which is tried next.

>>> neighbours(Recipe(name="all"), Search(), known=20)["max_depth-"]
{'max_depth': 4}

A step changes one hyperparameter by a fixed factor, large enough to be seen on some thousand rows.
Which comes next follows from the seed, the window and the recipe, so a replay tries the same. A
step that was adopted is tried once more, and of one that made things worse its opposite (pattern
search, Hooke and Jeeves 1961).

Promise: plain functions of what is handed in; every proposal lies inside the bounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ratchet.contracts.lineage import digest_of
from ratchet.contracts.recipes import Recipe
from ratchet.contracts.search import Search

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)
Values = dict[str, Any]
PAIRS = 4  # one in so many proposals takes two steps at once
LEAST_ROUNDS, RATES, SHARES = 10, (0.01, 0.5), (0.4, 1.0)


def neighbours(recipe: Recipe, search: Search, known: int) -> dict[str, Values]:
    """Each step that may be taken, and the values that it sets.

    Args:
        recipe: that is changed.
        search: gives the bounds.
        known: how many windows have labels; no history is longer.
    """
    found: dict[str, Values | None] = {}
    for sign, up in (("-", False), ("+", True)):
        found[f"max_depth{sign}"] = _depth(recipe, search, up=up)
        found[f"learning_rate{sign}"] = _rate(recipe, search, up=up)
        found[f"rounds{sign}"] = _rounds(recipe, search, up=up)
        found[f"min_child_weight{sign}"] = _weight(recipe, up=up)
        found[f"reg_lambda{sign}"] = _lambda(recipe, up=up)
        for name in ("subsample", "colsample_bytree"):
            found[f"{name}{sign}"] = _share(recipe, name, up=up)
        for name in ("history", "half_life"):
            found[f"{name}{sign}"] = _memory(recipe, name, known, up=up)
    return {step: values for step, values in found.items() if values}


def _depth(recipe: Recipe, search: Search, *, up: bool) -> Values | None:
    now = recipe.max_depth
    new = max(now + 1, round(now * 1.4)) if up else min(now - 1, round(now / 1.4))
    return {"max_depth": new} if 1 <= new <= search.max_depth else None


def _rate(recipe: Recipe, search: Search, *, up: bool) -> Values | None:
    """The rate, and the rounds the other way, so that as much is learned in all."""
    factor = 1.5 if up else 1 / 1.5
    rate, rounds = _short(recipe.learning_rate * factor), round(recipe.rounds / factor)
    fits = RATES[0] <= rate <= RATES[1] and LEAST_ROUNDS <= rounds <= search.max_rounds
    return {"learning_rate": rate, "rounds": rounds} if fits else None


def _rounds(recipe: Recipe, search: Search, *, up: bool) -> Values | None:
    rounds = round(recipe.rounds * (1.5 if up else 1 / 1.5))
    return {"rounds": rounds} if LEAST_ROUNDS <= rounds <= search.max_rounds else None


def _weight(recipe: Recipe, *, up: bool) -> Values | None:
    now = recipe.min_child_weight
    new = _short(max(now * 3, 1.0) if up else now / 3)
    return {"min_child_weight": new} if 1 <= new <= 300 else None  # less changes nothing


def _lambda(recipe: Recipe, *, up: bool) -> Values | None:
    now = recipe.reg_lambda
    new = _short(max(now * 4, 1.0) if up else now / 4)
    return {"reg_lambda": new} if 0.05 <= new <= 300 else None


def _share(recipe: Recipe, name: str, *, up: bool) -> Values | None:
    now = float(getattr(recipe, name))
    new = _short(min(now * 1.25, SHARES[1]) if up else now / 1.25)
    return {name: new} if new != now and new >= SHARES[0] else None


def _memory(recipe: Recipe, name: str, known: int, *, up: bool) -> Values | None:
    """Half or twice as many windows; all of them is None, one step above those that are known."""
    now = getattr(recipe, name)
    if now is None:
        return None if up or known < 4 else {name: known // 2}
    if up:
        return {name: None if now * 2 >= known else now * 2}
    return {name: now // 2} if now >= 2 else None


def propose(
    recipe: AnyRecipe,
    search: Search,
    *,
    seed: int,
    window: int,
    known: int,
    tried: Iterable[str] = (),
    favoured: Sequence[str] = (),
) -> tuple[str, AnyRecipe] | None:
    """The mutation that is tried next.

    Args:
        recipe: the parent.
        search: gives the bounds.
        seed, window: of the pipeline, and its index; with the parent they decide the order.
        known: how many windows have labels.
        tried: steps that were tried since the parent came; not again.
        favoured: steps that come first, if they may be taken.

    Returns:
        The step (two are joined by a comma) and the recipe; None where every step was tried.
    """
    base, gone = recipe.model_dump(mode="json"), set(tried)
    open_ = {s: v for s, v in neighbours(recipe, search, known).items() if s not in gone}
    drawn = sorted(open_, key=lambda step: digest_of([seed, window, base, step]))
    order = [*(s for s in favoured if s in open_), *(s for s in drawn if s not in favoured)]
    for step in _with_a_pair(order, open_, digest_of([seed, window, base]), favoured):
        if step not in gone:
            return step, mutated(recipe, *(open_[s] for s in step.split(",")))
    return None


def _with_a_pair(
    order: list[str], values: Mapping[str, Values], digest: str, favoured: Sequence[str]
) -> list[str]:
    """The order, now and then led by its first two steps that touch different values, at once."""
    if not order or order[0] in favoured or int(digest[:8], 16) % PAIRS:
        return order
    first = order[0]
    second = next((s for s in order[1:] if not values[s].keys() & values[first].keys()), None)
    return [",".join(sorted((first, second))), *order] if second else order


def mutated(recipe: AnyRecipe, *changes: Mapping[str, Any]) -> AnyRecipe:
    """The recipe with other values, checked like a declared one."""
    values = recipe.model_dump(mode="json")
    for change in changes:
        values.update(change)
    return type(recipe).model_validate(values)


def opposite(step: str) -> str:
    """The step that undoes a single one, or nearly."""
    return step[:-1] + ("-" if step.endswith("+") else "+")


def _short(value: float) -> float:
    return float(f"{value:.6g}")
