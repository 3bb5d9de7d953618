"""Asks whether training is worth it, where the pipeline says what a loss and a CPU hour cost.

What is known comes from decisions, the label tables as-of now and declared prices, so a replay asks
the same question and gets the same answer. The drift of this window has been measured before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ratchet import self_train as core
from ratchet.contracts.economics import CHECK, Economics
from ratchet.contracts.evidence import Evidence as Judged
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.metrics import summary
from ratchet.contracts.score import predict
from ratchet.errors import NoCandidate
from tasks import show
from tasks.cycle import Cycle

if TYPE_CHECKING:
    from ratchet.contracts.definition import Definition
    from ratchet.contracts.lineage import Decision, MemberLineage
    from ratchet.contracts.recipes import Member, Recipe
    from tasks.self_train import Evidence

WHOLE = "recipes"  # the unit of a pipeline of recipes


def measure_champion(cycle: Cycle) -> None:
    """The champion on the newest labelled rows, whether or not anything is trained."""
    if cycle.champion_bundle is None:
        return
    scores = predict(cycle.champion_bundle, cycle.judged_rows())
    objective = cycle.workspace.definition.label.objective
    cycle.champion_metrics = summary(objective, cycle.holdout_labels, scores)


def ask(cycle: Cycle, known: Evidence, recipes: Sequence[Recipe]) -> None:
    """Whether the recipes are trained now.

    Raises:
        NoCandidate: they are not: it is not worth it.
    """
    definition, champion = cycle.workspace.definition, cycle.champion_bundle
    before = known.cut.train_before
    prices, length = _prices(cycle), definition.calendar.length
    work = sum(work_of(known, definition, recipe, before) for recipe in recipes)
    if not work:
        return  # nothing to learn from: training says so
    trained = core.last_training(cycle.history)
    learned = champion.manifest.lineage.train_before if champion else before
    offer = core.Offer(
        work,
        _predictions(cycle, trained),
        (before - learned) / length,
        cycle.window.index,
    )
    looks = core.looks(cycle.history, length)
    curve = core.staleness(looks, cycle.window.index)
    forced = _forced(cycle, trained, 1)
    choice = core.invest(offer, curve, prices, forced)
    _record(cycle, {WHOLE: choice})
    if not choice.train:
        _avoid(cycle, choice)
        raise NoCandidate(f"not worth training: {choice.because}")


def due(cycle: Cycle, known: Evidence, planned: Sequence[core.Moment]) -> list[core.Moment]:
    """The moments whose models are used: those planned, or older ones where a due training is put
    off. One that was put off and is made later is made as of then."""
    from tasks.members import stored

    found, choices = [], {}
    for moment in planned:
        name = moment.member.name
        last = _last_moment(cycle, moment.member)
        if last is not None and last.as_of >= moment.as_of:
            found.append(last)
        elif stored(cycle, known, moment):
            found.append(moment)
        else:
            kept = last is not None and stored(cycle, known, last)
            choices[name] = _of_member(cycle, known, moment, last if kept else None)
            now = core.now(moment.member, cycle.workspace.definition, known.cut, cycle.window.end)
            found.append(now if choices[name].train or last is None else last)
    if choices:
        _record(cycle, choices)
    return found


def _of_member(
    cycle: Cycle, known: Evidence, moment: core.Moment, last: core.Moment | None
) -> core.Choice:
    definition, member = cycle.workspace.definition, moment.member
    length, now = definition.calendar.length, cycle.window.index
    before = last.train_before if last else known.cut.train_before
    trained = core.last_training(cycle.history, member.name)
    weights = {m.name: m.weight for m in _members(cycle.history)}
    offer = core.Offer(
        work_of(known, definition, member, known.cut.train_before),
        _predictions(cycle, trained),
        (known.cut.train_before - before) / length,
        now,
        share=weights.get(member.name, 1.0),
    )
    looks = core.member_looks(cycle.history, member.name, length)
    curve = core.staleness(looks, now, anchored=False)
    forced = _forced(cycle, trained, member.every) if last else "it has no model that can be used"
    return core.invest(offer, curve, _prices(cycle), forced)


def _members(history: Sequence[Decision]) -> Sequence[MemberLineage]:
    """Of the newest candidate."""
    made = [d.lineage.members for d in history if d.lineage is not None and d.lineage.members]
    return made[-1] if made else ()


def _last_moment(cycle: Cycle, member: Member) -> core.Moment | None:
    """When the member's newest model was made, of those that a decision used; None where it is no
    longer declared the same."""
    for made in _members(cycle.history):
        if made.name == member.name and dict(made.recipe) == member.model_dump(mode="json"):
            return core.Moment(member, made.as_of, made.train_from, made.train_before)
    return None


def _forced(cycle: Cycle, trained: Decision | None, every: int) -> str:
    """Why it is trained whatever it saves; empty where nothing says so."""
    if cycle.champion is None:
        return "no champion yet"
    if trained is None or trained.definition_digest != cycle.workspace.digest:
        return "nothing was trained under this definition yet"
    history, wait, serves = cycle.history, _prices(cycle).max_wait, cycle.champion.version
    served = [d.champion.get("loss", math.nan) for d in history if not d.again]
    moved = cycle.drift.get("verdict") == Verdict.WARN != trained.drift.get("verdict")
    reasons = (
        (bool(cycle.again), f"learned from once more ({cycle.again})"),
        (history[-1].awaits_approval, "the last candidate waits for a person"),
        (serves != trained.champion_after, f"version {serves} was put in force since the last one"),
        (
            cycle.window.index - trained.window_index >= every + wait,
            f"put off for {wait} windows, which is economics.max_wait",
        ),
        (moved, f"drift since the last one: {cycle.drift.get('arithmetic', '')}"),
    )
    said = next((why for holds, why in reasons if holds), "")
    return said or core.fell(served, cycle.champion_metrics.get("loss", math.nan))


def _predictions(cycle: Cycle, trained: Decision | None) -> list[int]:
    """Rows of each window since the last training, this one last."""
    since = trained.window_index if trained else cycle.window.index - 1
    found = [d for d in cycle.history if d.window_index > since and not d.again]
    return [*(d.rows_in for d in found if not d.is_rollback), cycle.rows_in]


def work_of(known: Evidence, definition: Definition, recipe: Recipe, before: int) -> float:
    """The work of training a recipe on what happened before a tick, in cells."""
    length = definition.calendar.length
    since = None if recipe.history is None else before - recipe.history * length
    found = known.labelled.within(since, before)
    return core.cells(
        found.stop - found.start,
        len(definition.features),
        recipe.rounds,
        recipe.max_depth,
        len(definition.label.classes),
    )


def _avoid(cycle: Cycle, choice: core.Choice) -> None:
    """Bill what was not spent: the work at the speed that the last training showed."""
    speed = _prices(cycle).cells_per_second
    trained = core.last_training(cycle.history)
    work = sum(u["cells"] for u in core.units_of([trained])) if trained else 0.0
    if trained and work and trained.bill.get("training"):
        speed = work / trained.bill["training"]
    cycle.bill["avoided"] = round(cycle.bill.get("avoided", 0.0) + choice.cells / speed, 4)


def _record(cycle: Cycle, choices: dict[str, core.Choice]) -> None:
    shown = [f"{n}: {'train' if c.train else 'put off'}: {c.because}" for n, c in choices.items()]
    savings = [c.saving for c in choices.values() if c.saving is not None]
    found = Judged(
        CHECK,
        Verdict.PASS,
        "; ".join(shown),
        core.short(sum(savings)) if savings else None,
        core.short(sum(c.cost for c in choices.values())),
        {"units": {name: choice.as_json() for name, choice in choices.items()}},
    )
    cycle.data_evidence.append(found)
    show.log(f"{CHECK}: {found.arithmetic}")


def _prices(cycle: Cycle) -> Economics:
    prices = cycle.workspace.definition.economics
    assert prices is not None  # noqa: S101  asked by its callers
    return prices
