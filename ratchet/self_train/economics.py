"""Is training worth it now? What it is expected to save, against what it costs.

>>> looks = [Look(window=w, age=a, gap=0.001 * a) for w, a in ((1, 1), (2, 2), (3, 3))]
>>> offer = Offer(cells=7e8 * 3600, predictions=(6000, 6000), age=2, now=5)
>>> found = invest(offer, staleness(looks, now=5), Economics(loss_worth=0.02, cpu_hour=0.05))
>>> found.train, round(found.cost, 3)
(True, 0.05)

An update is an investment (Zliobaite, Budka and Stahl 2015, "Towards cost-sensitive adaptation"):
it is made when what the stale model has cost since the last one reaches what the next one costs.
Where a model grows worse in proportion to its age, that is the rule of least cost per window (age
replacement, Barlow and Hunter 1960); summing up what staleness costs is the cumulative threshold of
CARA (Mahadevan and Mathioudakis 2024, "Cost-aware retraining for machine learning"). Here the
threshold is not fitted to a stream: it is the price.

How fast a model grows worse comes from decisions alone: champion and candidate on the same rows,
the champion so many windows older. What is not certain is taken at its upper end, and evidence
fades by windows, so that a pipeline that has not trained for long knows less and trains (discounted
UCB, Garivier and Moulines 2011).

Promise: plain arithmetic on what decisions hold and on declared prices. No clock is read, so a
replay on another machine decides the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ratchet.contracts.economics import CHECK, Economics
from ratchet.contracts.metrics import student_quantile

if TYPE_CHECKING:
    from ratchet.contracts.lineage import Decision

FADE = 0.8  # what a look is worth a window later
OPTIMISM = 0.5  # standard errors that are added to the slope
FEWEST = 3  # looks, before which nothing is known
FALL_LEVEL, FALL_FEWEST, FALL_WINDOWS = 0.01, 5, 16
START = 4e6  # cells that a training costs before it goes through any: about 10 ms


@dataclass(frozen=True)
class Look:
    """At the cycle of ``window`` a model ``age`` windows older than one trained anew lost ``gap``
    more on the same rows."""

    window: int
    age: float
    gap: float


@dataclass(frozen=True)
class Curve:
    """How much a model's mean loss grows by a window of age.

    Attributes:
        slope, error: the line and its standard error.
        most: the upper end of what is believed; never below 0.
        looks: how many it comes from.
    """

    slope: float
    error: float
    most: float
    looks: int


@dataclass(frozen=True)
class Offer:
    """One training that may be made or put off.

    Attributes:
        cells: work; rows x features x trees x depth.
        predictions: rows of each window since the last training, oldest first, this one last.
        age: of the model that serves, in windows, against one trained now.
        now: index of this cycle's window.
        share: of the score that hangs on it: a member's weight.
    """

    cells: float
    predictions: Sequence[int]
    age: float
    now: int
    share: float = 1.0


@dataclass(frozen=True)
class Choice:
    """Whether to train, and the arithmetic. ``saving`` is None while nothing is known."""

    train: bool
    because: str
    saving: float | None
    cost: float
    cells: float
    slope: float | None = None
    error: float | None = None
    looks: int = 0

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict; six digits, because the last ones differ between machines."""
        return {k: short(v) if isinstance(v, float) else v for k, v in asdict(self).items()}


def staleness(
    looks: Sequence[Look],
    now: int,
    *,
    anchored: bool = True,
    fade: float = FADE,
    optimism: float = OPTIMISM,
) -> Curve | None:
    """A line through what was seen, by least squares with fading weights.

    Args:
        looks: in any order; what is not finite is passed over.
        now: index of the window that asks.
        anchored: a model of age 0 has a gap of 0. False: a gap against something else, such as the
            other members, of which only the change with age counts.
        fade: in (0, 1], a window.
        optimism: standard errors that are added to the slope.

    Returns:
        None while fewer than :data:`FEWEST` looks are there, or all of one age.
    """
    known = [k for k in looks if math.isfinite(k.gap) and (k.age > 0 or not anchored)]
    free = len(known) - (1 if anchored else 2)
    if len(known) < FEWEST or free < 1:
        return None
    weights = [fade ** max(now - k.window, 0) for k in known]
    total = math.fsum(weights)
    age = gap = 0.0
    if not anchored:
        age = math.fsum(w * k.age for w, k in zip(weights, known, strict=True)) / total
        gap = math.fsum(w * k.gap for w, k in zip(weights, known, strict=True)) / total
    pairs = [(w, k.age - age, k.gap - gap) for w, k in zip(weights, known, strict=True)]
    spread = math.fsum(w * a * a for w, a, _ in pairs)
    if spread <= 1e-12 * total:
        return None
    slope = math.fsum(w * a * g for w, a, g in pairs) / spread
    noise = math.fsum(w * (g - slope * a) ** 2 for w, a, g in pairs) / total * len(known) / free
    error = math.sqrt(noise / spread)
    return Curve(slope, error, max(slope + optimism * error, 0.0), len(known))


def invest(offer: Offer, curve: Curve | None, economics: Economics, forced: str = "") -> Choice:
    """Train now, or put it off by a window.

    What a new model would have saved since the last training: for each window its predictions times
    ``curve.most`` times the model's age there, in money.

    Args:
        offer: the training.
        curve: None: nothing is known, so it is trained.
        economics: prices.
        forced: why it is trained whatever it saves, or empty.
    """
    cost = economics.price(offer.cells)
    if curve is None:
        because = forced or f"fewer than {FEWEST} comparisons show how a model ages: to learn that"
        return Choice(True, because, None, cost, offer.cells)
    ages = [offer.age - k for k in range(len(offer.predictions))]
    lost = math.fsum(
        max(age, 0.0) * rows for age, rows in zip(ages, reversed(offer.predictions), strict=True)
    )
    saving = curve.most * lost * offer.share * economics.loss_worth
    pays = saving >= cost
    because = forced or (
        f"a model of {offer.age:g} windows, {curve.most:.2g} more loss a window "
        f"({curve.slope:.2g} +- {curve.error:.2g}, {curve.looks} comparisons), over "
        f"{sum(offer.predictions):,} predictions: expected saving {saving:.4g} "
        f"{'>=' if pays else '<'} cost {cost:.4g}"
    )
    train = pays or bool(forced)
    return Choice(train, because, saving, cost, offer.cells, curve.slope, curve.error, curve.looks)


def fell(before: Sequence[float], now: float) -> str:
    """Why the champion's loss is beyond what its history explains; empty where it is not.

    Beyond the upper end of a prediction interval (Student's t) of the last windows' losses, at
    :data:`FALL_LEVEL`.

    Args:
        before: the loss of whatever served, on each earlier window with labels, oldest first.
        now: the champion's on the newest.
    """
    known = [v for v in before if math.isfinite(v)][-FALL_WINDOWS:]
    n = len(known)
    if n < FALL_FEWEST or not math.isfinite(now):
        return ""
    mean = math.fsum(known) / n
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in known) / (n - 1))
    end = mean + student_quantile(1 - FALL_LEVEL, n - 1) * spread * math.sqrt(1 + 1 / n)
    if now <= end:
        return ""
    return (
        f"the champion's loss of {now:.4f} is above {end:.4f}, which its last {n} windows explain"
    )


def cells(rows: int, features: int, rounds: int, depth: int, classes: int = 0) -> float:
    """The work of one training: each level of each tree goes through every feature of every row.

    And :data:`START` before that, which is most of it where rows are few; 0 without rows.
    """
    if not rows:
        return 0.0
    return START + float(rows) * features * rounds * depth * (classes if classes > 2 else 1)


def last_training(history: Sequence[Decision], member: str | None = None) -> Decision | None:
    """The newest decision whose cycle trained a candidate, or this member of it.

    Args:
        history: oldest first.
        member: of a mixture; None: any candidate.
    """
    for decision in reversed(history):
        lineage = decision.lineage
        if lineage is None or decision.is_rollback:
            continue
        fresh = [m.name for m in lineage.members if m.as_of == lineage.as_of]
        if member is None or member in fresh:
            return decision
    return None


def looks(history: Sequence[Decision], length: int) -> list[Look]:
    """Champion against candidate, wherever a decision judged both.

    Args:
        history: oldest first; a champion whose promotion is not among it is passed over.
        length: of a window, in ticks.
    """
    before: dict[int | None, int] = {}
    found = []
    for decision in history:
        lineage, age = decision.lineage, None
        if lineage is None or decision.is_rollback:
            continue
        if decision.champion_before in before:
            age = (lineage.train_before - before[decision.champion_before]) / length
        pair = (decision.champion.get("loss"), decision.candidate.get("loss"))
        if age is not None and pair[0] is not None and pair[1] is not None and not decision.again:
            found.append(Look(decision.window_index, age, pair[0] - pair[1]))
        if decision.outcome == "promoted":
            before[decision.champion_after] = lineage.train_before
    return found


def member_looks(history: Sequence[Decision], member: str, length: int) -> list[Look]:
    """A member's loss less the mean of the others', by its age; only its change says anything."""
    found = []
    for decision in history:
        lineage, losses = decision.lineage, decision.recipe_losses
        others = [v for name, v in losses.items() if name != member]
        if lineage is None or member not in losses or not others:
            continue
        for made in (m for m in lineage.members if m.name == member):
            age = (lineage.train_before - made.train_before) / length
            gap = losses[member] - math.fsum(others) / len(others)
            found.append(Look(decision.window_index, age, gap))
    return found


def units_of(decisions: Sequence[Decision]) -> list[Mapping[str, Any]]:
    """Each training that was made or put off, as :meth:`Choice.as_json` recorded it.

    One that was to be made and could not be (too few rows) is left out.
    """
    return [
        unit
        for d in decisions
        for e in d.evidence
        if e.check == CHECK
        for unit in e.details["units"].values()
        if d.lineage is not None or not unit["train"]
    ]


def account(units: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What trainings, made and put off, come to, in the currency of the prices.

    ``saving`` is what those that were made were expected to save, where that was known; ``spent``
    what they cost, ``avoided`` what those that were put off would have cost.

    Args:
        units: :meth:`Choice.as_json` of each.
    """
    made = [u for u in units if u["train"]]
    put_off = [u for u in units if not u["train"]]
    return {
        "trained": len(made),
        "put_off": len(put_off),
        "saving": math.fsum(u["saving"] or 0.0 for u in made),
        "spent": math.fsum(u["cost"] for u in made),
        "avoided": math.fsum(u["cost"] for u in put_off),
        "cells": math.fsum(u["cells"] for u in made),
    }


def short(value: float) -> float:
    """Six digits."""
    return float(f"{value:.6g}")
