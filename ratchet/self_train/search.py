"""A race of mutated recipes in the shadow: what is tried, what it has shown, what is adopted.

>>> [round(level(number, adopted=0, alpha=0.1), 4) for number in (1, 2, 10)]
[0.0254, 0.0103, 0.0013]

Each cycle a few mutations of the recipe that goes to the gate are trained beside it on the same
rows and scored on the same held-out rows, which came later (prequential, Dawid 1984). A mutation is
dropped when it is clearly worse (races, Maron and Moore 1994) or shows nothing; it takes the
place of its parent, from the next cycle on, when bets on it have grown beyond 1 / its level.

**What is claimed.** The i-th mutation that is ever tried has the level ``alpha g(i) (1 + changes
adopted before it)``, where the g sum to 1. Bets on one that is no better than its parent make no
profit, whenever one looks. So of all changes that are adopted at most the share alpha is expected
to be no better, however the mutations depend on one another (e-LOND: Xu and Ramdas 2024, "Online
multiple testing with e-values"); where none is any better, the chance that one is ever adopted is
at most alpha.

**Work.** Trials spend out of a purse, in cells: each training of the recipes pays ``budget`` times
its work into it. So trials never cost more than that share of all training so far.

Promise: a pure function of the state before, of declared bounds and of rows that came after all
that chose what is tried. The state is JSON in the decision's ledger; what a cycle trains was
settled by earlier ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ratchet.contracts.betting import Bettor, block_means, count, seen_until
from ratchet.contracts.lineage import digest_of
from ratchet.contracts.recipes import Recipe
from ratchet.contracts.search import Search
from ratchet.self_train.mutate import opposite, propose
from ratchet.self_train.search_state import Change, State, Trial

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

POWER, ZETA = 1.3, 3.931949  # g(i) is i**-POWER / ZETA, which sums to 1
CLEARLY = 2.0  # standard errors below 0 at which a mutation is out of the race
PATIENCE, LONGEST = 4, 16  # windows, from which on it has to be on its way; until it must be sure


def level(number: int, adopted: int, alpha: float) -> float:
    """The level of the mutation with this number, after so many changes."""
    return float(alpha * (adopted + 1) * number**-POWER / ZETA)


def entered(state: State, recipes: Sequence[Recipe], earned: float, search: Search) -> State:
    """The state as a cycle begins: without trials whose parent is no longer in force, and with what
    this cycle's training (``earned``, cells) pays into the purse."""
    now = {r.name: r.model_dump(mode="json") for r in recipes}
    kept = tuple(t for t in state.trials if now.get(t.parent) == dict(t.base))
    return replace(state, trials=kept, purse=_short(state.purse + search.budget * earned))


def planned(
    state: State,
    parent: Recipe,
    search: Search,
    cost: Callable[[Trial], float],
    *,
    seed: int,
    window: int,
    known: int,
) -> tuple[State, list[Trial]]:
    """Which mutations are trained now, and the state after they are paid for.

    Those in the race come first, oldest first; then new ones, of ``parent``, while there is room
    and the purse holds what they cost.

    Args:
        cost: a trial's training, cells.
        seed, window, known: as of :func:`ratchet.self_train.mutate.propose`.
    """
    chosen = []
    for trial in state.trials:
        if cost(trial) <= state.purse:
            state = replace(state, purse=_short(state.purse - cost(trial)))
            chosen.append(trial)
    while len(state.trials) < search.trials:
        born = _born(state, parent, search, cost, seed=seed, window=window, known=known)
        if born is None:
            break
        steps = (*state.tried.get(parent.name, ()), born.step)
        state = replace(
            state,
            started=born.number,
            purse=_short(state.purse - cost(born)),
            trials=(*state.trials, born),
            tried={**state.tried, parent.name: steps},
        )
        chosen.append(born)
    return state, chosen


def _born(
    state: State,
    parent: Recipe,
    search: Search,
    cost: Callable[[Trial], float],
    *,
    seed: int,
    window: int,
    known: int,
) -> Trial | None:
    number = state.started + 1
    fresh = Trial(
        number,
        parent.name,
        "",
        parent.model_dump(mode="json"),
        {},
        window,
        level(number, len(state.changes), search.alpha),
    )
    racing = tuple(t.step for t in state.trials if t.parent == parent.name)
    # Where every step was tried it begins anew: the world moves.
    for tried in (state.tried.get(parent.name, ()), racing):
        found = propose(
            parent,
            search,
            seed=seed,
            window=window,
            known=known,
            tried=tried,
            favoured=state.favoured.get(parent.name, ()),
        )
        if found is not None:
            break
    else:
        return None
    step, recipe = found
    born = replace(fresh, step=step, recipe=recipe.model_dump(mode="json"))
    return born if cost(born) <= state.purse else None


def scored(
    trial: Trial,
    state: State,
    window: int,
    events: NDArray[np.int64],
    gains: Floats,
    noise: Floats,
    blocks: int,
) -> Trial:
    """The trial after one more window.

    Args:
        state: says which rows have been counted before.
        events: shape (rows,), ticks.
        gains: shape (rows,), the parent's loss less the trial's.
        noise: shape (rows,), from :func:`ratchet.contracts.betting.disagreement`.
        blocks: of event time in these rows.
    """
    import numpy as np

    before = replace(trial.bettor, judged_before=state.judged_before)
    fresh = events >= (-np.inf if state.judged_before is None else state.judged_before)
    if not fresh.any():
        return trial
    means = block_means(events[fresh], gains[fresh], blocks)
    error = float(means.std(ddof=1)) / math.sqrt(len(means)) if len(means) > 1 else math.inf
    look = (window, _six(float(gains[fresh].mean())), _six(min(error, 1e9)))
    bettor = count(before, events, gains, noise, blocks)
    return replace(trial, bettor=bettor, looks=(*trial.looks, look))


def failed(state: State, trial: Trial) -> State:
    """The state without a trial that cannot be trained."""
    left = tuple(t for t in state.trials if t.number != trial.number)
    return _dropped(replace(state, trials=left), trial, worse=False)


def judged(
    state: State,
    trials: Sequence[Trial],
    declared: Sequence[Recipe],
    search: Search,
    window: int,
    events: NDArray[np.int64],
) -> tuple[State, list[str]]:
    """The state for the cycles to come, and what happened, a sentence each.

    Args:
        state: after :func:`planned`.
        trials: those that were trained, scored.
        declared: the pipeline's recipes, as its file has them.
        window: index.
        events: shape (rows,), of the held-out rows.
    """
    now = {t.number: t for t in trials}
    racing = [now.get(t.number, t) for t in state.trials]
    won = [t for t in racing if len(t.looks) >= search.windows and _won(t)]
    best: dict[str, Trial] = {}
    for trial in sorted(won, key=lambda t: -t.bettor.evidence * t.level):
        best.setdefault(trial.parent, trial)
    said, kept = [], []
    for trial in racing:
        if trial.parent in best:
            continue
        if out := _out(trial):
            state = _dropped(state, trial, worse=out == "clearly worse")
            said.append(f"{trial.name} ({trial.shown}) dropped, {out}: {trial.so_far}")
        else:
            kept.append(trial)
            said.append(f"{trial.name} ({trial.shown}): {trial.so_far}")
    for recipe in declared:
        if recipe.name in best:
            trial = best[recipe.name]
            state = _adopted(state, trial, digest_of(recipe.model_dump(mode="json")), window)
            said.insert(0, f"{trial.name} adopted from the next cycle on: {_because(trial)}")
    return replace(state, trials=tuple(kept), judged_before=_until(state, events)), said


def _won(trial: Trial) -> bool:
    return trial.bettor.evidence * trial.level >= 1


def _out(trial: Trial) -> str:
    """Why a trial leaves the race; empty while it stays."""
    gain, error = trial.gain
    seen = len(trial.looks)
    if seen >= 2 and gain < -CLEARLY * error:
        return "clearly worse"
    pace = math.log(max(trial.bettor.evidence, 1e-9)) / max(seen, 1)
    if seen >= PATIENCE and pace * LONGEST < -math.log(trial.level):
        return f"too slow to be sure within {LONGEST} windows"
    return ""


def _dropped(state: State, trial: Trial, *, worse: bool) -> State:
    name, step = trial.parent, trial.step
    gone = tuple(s for s in state.favoured.get(name, ()) if s != step)
    if worse and "," not in step and opposite(step) not in state.tried.get(name, ()):
        gone = (*gone, opposite(step))
    return replace(state, favoured={**state.favoured, name: gone})


def _adopted(state: State, trial: Trial, declared: str, window: int) -> State:
    """With the change; the way back is not tried, the way on is tried first."""
    name, steps = trial.parent, trial.step.split(",")
    change = Change(name, window, trial.step, declared, dict(trial.recipe), _because(trial))
    return replace(
        state,
        changes=(*state.changes, change),
        tried={**state.tried, name: tuple(opposite(s) for s in steps)},
        favoured={**state.favoured, name: tuple(steps)},
    )


def _because(trial: Trial) -> str:
    return f"{trial.shown}: {trial.so_far}"


def _until(state: State, events: NDArray[np.int64]) -> int | None:
    if not len(events):
        return state.judged_before
    return seen_until(Bettor(judged_before=state.judged_before), events)


def _six(value: float) -> float:
    return float(f"{value:.6g}")


def _short(value: float) -> float:
    """Twelve digits: the state is part of a digest."""
    return float(f"{value:.12g}")
