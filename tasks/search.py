"""Mutations of recipes in the shadow: trained beside them, scored on the same held-out rows.

What a mutation may do is settled by :mod:`ratchet.self_train.search`; here it is trained and
scored. It never goes to the gate: one that is adopted is the recipe of its parent's name from the
next cycle on, and the gate decides about the model as about any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from ratchet import self_train as core
from ratchet.contracts.betting import disagreement
from ratchet.contracts.columns import EVENT
from ratchet.contracts.evidence import Evidence as Judged
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.lineage import digest_of
from ratchet.contracts.metrics import row_losses
from ratchet.contracts.recipes import Member, Recipe
from ratchet.contracts.score import booster, encode, mix, scores_of
from ratchet.contracts.search import CHECK
from ratchet.errors import NoCandidate
from tasks import show
from tasks.cycle import Cycle, cpu_seconds
from tasks.economics import work_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.self_train import Evidence

    Floats = NDArray[np.float64]

LEDGER = "search"
AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


@dataclass(frozen=True, eq=False)
class Field:
    """Where mutations race.

    Attributes:
        declared, recipes: as the file has them, and as this cycle trained them.
        parent: whose mutations are tried next.
        earned: work of this cycle's training, cells.
        cost: work of a trial's training now.
        score: trains a trial and scores the held-out rows.
        against: the scores without it, by the parent's name.
    """

    declared: Sequence[Recipe]
    recipes: Sequence[Recipe]
    parent: str
    earned: float
    cost: Callable[[core.Trial], float]
    score: Callable[[core.Trial], Floats]
    against: Callable[[str], Floats]


@dataclass(frozen=True, eq=False)
class Mixed:
    """A mixture on the held-out rows: each member's sharpened margins and weight, temperature and
    level; and what the margins were multiplied by."""

    margins: Mapping[str, Floats]
    weights: Mapping[str, float]
    temperature: float
    level: tuple[float, ...]
    sharpness: Mapping[str, float]


def in_force(cycle: Cycle, declared: Sequence[AnyRecipe]) -> tuple[AnyRecipe, ...]:
    """The recipes that this cycle trains: as declared, but for what earlier cycles have adopted."""
    if cycle.workspace.definition.search is None:
        return tuple(declared)
    state = core.State.from_json(cycle.ledger.get(LEDGER, {}))
    return tuple(core.in_force(state, recipe, cycle.window.index) for recipe in declared)


def race(cycle: Cycle, known: Evidence, field: Field) -> None:
    """One more window for the mutations; enters state, bill and evidence.

    A window that is learned from once more tries nothing, and neither do held-out rows that were
    all counted before.
    """
    definition, search = cycle.workspace.definition, cycle.workspace.definition.search
    if search is None or cycle.again:
        return
    events, started = cycle.judged_rows()[EVENT].to_numpy(), cpu_seconds()
    state = core.State.from_json(cycle.ledger.get(LEDGER, {}))
    state = core.entered(state, field.recipes, field.earned, search)
    due: list[core.Trial] = []
    said: list[str] = []
    if state.judged_before is None or (events >= state.judged_before).any():
        parent = next(r for r in field.recipes if r.name == field.parent)
        state, due = core.planned(
            state,
            parent,
            search,
            field.cost,
            seed=definition.train.seed,
            window=cycle.window.index,
            known=_known_windows(cycle, known),
        )
    done = []
    for trial in due:
        try:
            done.append(_scored(cycle, state, field, trial))
        except NoCandidate as reason:
            state = core.failed(state, trial)
            said.append(f"{trial.name} ({trial.shown}) dropped: {reason}")
    state, more = core.judged(state, done, field.declared, search, cycle.window.index, events)
    cycle.ledger[LEDGER] = state.as_json()
    cycle.bill["search"] = round(cpu_seconds() - started, 4)
    _record(cycle, state, due, field, [*more, *said])


def _scored(cycle: Cycle, state: core.State, field: Field, trial: core.Trial) -> core.Trial:
    import numpy as np

    definition = cycle.workspace.definition
    objective, labels = definition.label.objective, cycle.holdout_labels
    own, others = field.score(trial), field.against(trial.parent)
    if not np.isfinite(own).all():
        raise NoCandidate("it gave scores that are not finite")
    return core.scored(
        replace(trial, made=cycle.window.end),
        state,
        cycle.window.index,
        cycle.judged_rows()[EVENT].to_numpy(),
        row_losses(objective, labels, others) - row_losses(objective, labels, own),
        disagreement(objective, own, others),
        definition.gate.blocks,
    )


def of_recipes(
    cycle: Cycle, known: Evidence, recipes: Sequence[Recipe], history: core.History
) -> Field:
    """Mutations of the recipe that goes to the gate; each against its parent."""
    definition, before = cycle.workspace.definition, known.cut.train_before

    def work(recipe: Recipe) -> float:
        return work_of(known, definition, recipe, before)

    def score(trial: core.Trial) -> Floats:
        recipe = Recipe.model_validate(dict(trial.recipe))
        training = core.training_set(history, definition, recipe)
        model = core.train(training, definition, recipe)
        margins = _margins(cycle, model, training.categories)
        return scores_of(definition.label.objective, margins)

    return Field(
        declared=definition.recipes,
        recipes=recipes,
        parent=cycle.chosen or recipes[0].name,
        earned=sum(work(recipe) for recipe in recipes),
        cost=lambda trial: work(Recipe.model_validate(dict(trial.recipe))),
        score=score,
        against=lambda name: cycle.scores[name],
    )


def of_members(
    cycle: Cycle,
    known: Evidence,
    parts: Sequence[core.Trained],
    mixed: Mixed,
) -> Field:
    """Mutations of a mixture's members: the mixture with the mutation in its parent's place against
    the mixture as it is, with the same weights, sharpness, temperature and level.

    A mutation is trained when its parent is, on rows of the same time. Whose mutation is tried next
    is drawn by the members' weights. A member with a teacher follows it and is not searched.
    """
    from tasks import members

    definition = cycle.workspace.definition
    assert definition.mixture is not None  # noqa: S101  asked by its caller
    objective, now = definition.label.objective, cycle.window.end
    moments = {p.name: p.moment for p in parts if p.moment.member.teacher is None}

    def cost(trial: core.Trial) -> float:
        if trial.made is not None and moments[trial.parent].as_of <= trial.made:
            return 0.0
        before = moments[trial.parent].train_before
        member = Member.model_validate(dict(trial.recipe))
        return work_of(known, definition, member, before)

    def score(trial: core.Trial) -> Floats:
        member, parent = Member.model_validate(dict(trial.recipe)), moments[trial.parent]
        moment = core.at(member, definition, parent.as_of, parent.train_before)
        part = members.kept(cycle, known, moment, trial=True)
        own = _margins(cycle, part.model, part.categories)
        margins = {**mixed.margins, trial.parent: own * mixed.sharpness[trial.parent]}
        found = mix(margins, mixed.weights, mixed.temperature, mixed.level)
        return scores_of(objective, found)

    return Field(
        declared=definition.mixture.members,
        recipes=[moment.member for moment in moments.values()],
        parent=_drawn(cycle, {name: mixed.weights[name] for name in moments}),
        earned=sum(
            work_of(known, definition, m.member, m.train_before)
            for m in moments.values()
            if m.as_of == now
        ),
        cost=cost,
        score=score,
        against=lambda _: cycle.scores[core.MIXTURE],
    )


def _drawn(cycle: Cycle, weights: Mapping[str, float]) -> str:
    """A member, more likely the more it weighs; the same in a replay."""
    seed = [cycle.workspace.definition.train.seed, cycle.window.index]
    point = int(digest_of(seed)[:12], 16) / 16**12 * sum(weights.values())
    for name, weight in weights.items():
        point -= weight
        if point < 0:
            return name
    return next(iter(weights))


def _margins(cycle: Cycle, model: bytes, categories: Mapping[str, tuple[str, ...]]) -> Floats:
    """What a model says of the held-out rows before the link function."""
    import numpy as np

    definition = cycle.workspace.definition
    matrix = encode(cycle.judged_rows(), definition.features, categories)
    found = booster(model, definition.train.threads).inplace_predict(matrix, predict_type="margin")
    several = definition.label.objective == "multiclass"
    shape = (-1, len(definition.label.classes)) if several else (-1,)
    return np.asarray(found, dtype=np.float64).reshape(shape)


def _known_windows(cycle: Cycle, known: Evidence) -> int:
    """How many windows training reaches back over."""
    calendar = cycle.workspace.calendar
    first = calendar.window_of(int(known.labelled.events[0])).start
    return -((first - known.cut.train_before) // calendar.length)


def _record(
    cycle: Cycle, state: core.State, due: Sequence[core.Trial], field: Field, said: Sequence[str]
) -> None:
    if not said:
        return
    details = {
        "trained": [trial.name for trial in due],
        "racing": len(state.trials),
        "adopted": len(state.changes),
        "tried": state.started,
        "cells": core.short(sum(field.cost(trial) for trial in due)),
        "of": core.short(field.earned),
    }
    found = Judged(CHECK, Verdict.PASS, "; ".join(said), details=details)
    cycle.data_evidence.append(found)
    show.log(f"{CHECK}: {found.arithmetic}")
