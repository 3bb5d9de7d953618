"""Hyperparameters that improve in the shadow: what that gains, what it costs, how often it errs.

    make bench-search BANK=bank_marketing.parquet                  # 6 minutes on one core
    python -m benchmarks.search --streams sea --seeds 3001         # part of it

Test, then train, without a label delay: in each window the recipe in force is trained on all
windows before it and scored; mutations race beside it with the very functions of
``ratchet.self_train.search``. Two starts: usual settings, and mediocre ones that overfit.
``--nulls`` races mutations that are no better through whole lives; ``--truth`` compares each change
that is adopted on a world that stands still with its parent on many other rows of that world.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.economics import interval, show
from benchmarks.engine_fits import Fits, plain, warm_up
from benchmarks.engine_streams import STREAMS, Stream, _matrix, _sea_rows, bank
from benchmarks.gate import NO_BETTER
from ratchet.contracts.betting import disagreement
from ratchet.contracts.metrics import row_losses
from ratchet.contracts.recipes import Recipe
from ratchet.contracts.search import Search
from ratchet.self_train import search as core
from ratchet.self_train.economics import cells
from ratchet.self_train.search_state import State, Trial, in_force

CSV = Path(__file__).parent / "results" / "search.csv"
BLOCKS, SEED = 56, 20130101
STARTS: Mapping[str, Recipe] = {
    "usual": plain(6, rounds=50, learning_rate=0.2),
    "mediocre": plain(9, rounds=50, learning_rate=0.4),
}
GOOD = plain(3, rounds=40, min_child_weight=5.0)  # near the best that was found for SEA
SEEDS = (3001,)
REPORTED = ("bank", "sea", "sine", "hyperplane")


@dataclass(eq=False)
class Life:
    """What a pipeline lost in each window, what that cost, and what it adopted."""

    lost: list[float]
    seconds: float
    searched: float
    state: State
    worked: float
    tried: float


def play(fits: Fits, start: Recipe, search: Search | None) -> Life:
    """One life of a pipeline with one recipe."""
    life, features = Life([], 0.0, 0.0, State(), 0.0, 0.0), len(fits.stream.features)
    for w in fits.judged:
        recipe = in_force(life.state, start, w)
        own = _scores(fits, recipe, w)
        life.lost.append(float(own.losses.mean()))
        life.seconds += own.seconds
        if search is None:
            continue

        def work(recipe: Recipe, w: int = w) -> float:
            first = max(w - recipe.history, 0) if recipe.history else 0
            rows = sum(len(x.labels) for x in fits.stream.windows[first:w])
            return cells(rows, features, recipe.rounds, recipe.max_depth)

        life.state, due = core.planned(
            core.entered(life.state, [recipe], work(recipe), search),
            recipe,
            search,
            lambda trial, work=work: work(_recipe(trial)),
            seed=SEED,
            window=w,
            known=w,
        )
        life.worked += work(recipe)
        life.tried += sum(work(_recipe(t)) for t in due)
        done = [_look(fits, life, t, own, w) for t in due]
        life.state, _ = core.judged(life.state, done, [start], search, w, _events(fits, w))
    return life


@dataclass(frozen=True, eq=False)
class Scores:
    """One model on one window."""

    chances: NDArray[np.float64]
    losses: NDArray[np.float64]
    seconds: float


def _scores(fits: Fits, recipe: Recipe, w: int) -> Scores:
    fit = fits.window(recipe, w - recipe.history if recipe.history else 0, w)
    chances = 1 / (1 + np.exp(-fit.margins(w)))
    labels = fits.stream.windows[w].labels.astype(np.float64)
    return Scores(chances, row_losses("binary", labels, chances), fit.seconds)


def _recipe(trial: Trial) -> Recipe:
    return Recipe.model_validate(dict(trial.recipe))


def _events(fits: Fits, w: int) -> NDArray[np.int64]:
    rows = len(fits.stream.windows[w].labels)
    return w * 10**6 + np.arange(rows, dtype=np.int64)


def _look(fits: Fits, life: Life, trial: Trial, own: Scores, w: int) -> Trial:
    other = _scores(fits, _recipe(trial), w)
    life.searched += other.seconds
    gains, noise = own.losses - other.losses, disagreement("binary", other.chances, own.chances)
    return core.scored(trial, life.state, w, _events(fits, w), gains, noise, BLOCKS)


def compared(stream: Stream, search: Search) -> Iterator[dict[str, object]]:
    """A line a start: with the search beside without it."""
    for name, start in STARTS.items():
        fits = Fits(stream)
        without, found = play(fits, start, None), play(fits, start, search)
        more = np.array(found.lost) - np.array(without.lost)
        yield {
            "stream": stream.name,
            "seed": stream.seed,
            "start": name,
            "loss": f"{np.mean(without.lost):.4f}",
            "searched": f"{np.mean(found.lost):.4f}",
            "more": f"{more.mean():.4f}",
            "interval": f"{interval(more):.4f}",
            "last_third": f"{more[-len(more) // 3 :].mean():.4f}",
            "cpu": f"{(found.seconds + found.searched) / without.seconds:.2f}",
            "work_of_trials": f"{found.tried / found.worked:.2f}",
            "tried": found.state.started,
            "adopted": len(found.state.changes),
            "recipe": _told(found.state, start),
        }


def _told(state: State, start: Recipe) -> str:
    from ratchet.self_train.search_state import difference

    now = in_force(state, start, 10**9).model_dump(mode="json")
    return difference(start.model_dump(mode="json"), now)


def nulls(search: Search, lives: int, windows: int = 104, blocks: int = 14) -> Iterator[Mapping]:
    """Lives of mutations whose gains have mean 0, a line a kind of noise."""
    for kind, (sample, mean) in NO_BETTER.items():
        any_, changes, tried = 0, 0, 0
        for life in range(lives):
            random = np.random.default_rng([3001, life])
            state = _null_life(search, random, sample, mean, windows, blocks)
            any_ += bool(state.changes)
            changes += len(state.changes)
            tried += state.started
        yield {
            "noise": kind,
            "lives": lives,
            "tried_a_life": f"{tried / lives:.1f}",
            "lives_that_adopt": f"{any_ / lives:.4f}",
            "changes": changes,
        }


def _null_life(
    search: Search,
    random: np.random.Generator,
    sample: Callable[..., NDArray[np.float64]],
    mean: float,
    windows: int,
    blocks: int,
) -> State:
    state, start = State(), plain(6)
    draws = sample(random, (search.trials, windows, blocks)) + mean
    for w in range(windows):
        recipe = in_force(state, start, w)
        state, due = core.planned(
            core.entered(state, [recipe], 1.0, replace_budget(search)),
            recipe,
            search,
            lambda _: 1.0,
            seed=SEED,
            window=w,
            known=w,
        )
        events = w * 1000 + np.arange(blocks, dtype=np.int64)
        done = [
            core.scored(t, state, w, events, draws[i, w], np.ones(blocks), blocks)
            for i, t in enumerate(due)
        ]
        state, _ = core.judged(state, done, [start], search, w, events)
    return state


def replace_budget(search: Search) -> Search:
    """As many trials as may be, whatever they cost."""
    return search.model_copy(update={"budget": float(search.trials)})


def truth(search: Search, lives: int) -> Iterator[dict[str, object]]:
    """On a world that stands still: was what was adopted better on 20,000 other rows of it?"""
    for name, start in {**STARTS, "good": GOOD}.items():
        adopted, worse = [], []
        for life in range(lives):
            fits = Fits(still(4000 + life))
            changes = play(fits, start, search).state.changes
            recipes = [start, *(Recipe.model_validate(dict(c.recipe)) for c in changes)]
            lost = [
                (_on_others(fits, before, c.window), _on_others(fits, after, c.window))
                for c, before, after in zip(changes, recipes, recipes[1:], strict=False)
            ]
            adopted.append(len(changes))
            worse.append(sum(after > before for before, after in lost))
        yield {
            "start": name,
            "lives": lives,
            "changes": sum(adopted),
            "of_these_worse": sum(worse),
            "lives_that_adopt": sum(n > 0 for n in adopted),
            "lives_that_adopt_worse": sum(n > 0 for n in worse),
        }


def _on_others(fits: Fits, recipe: Recipe, w: int) -> float:
    fit = fits.window(recipe, w - recipe.history if recipe.history else 0, w)
    rows = fits.stream.oracle[0]
    margins = fit.booster.inplace_predict(rows.matrix, predict_type="margin")
    return float(np.logaddexp(0, np.where(rows.labels > 0.5, -margins, margins)).mean())


def still(seed: int, windows: int = 32, rows: int = 500) -> Stream:
    """SEA's first concept throughout, and 20,000 other rows of it."""
    parts = [_matrix(_sea_rows(0, seed * 100 + w, rows)) for w in range(windows)]
    others, names = _matrix(_sea_rows(0, seed * 100 + 99, 20_000))
    features = dict.fromkeys(names, "number")
    return Stream("sea at rest", seed, features, [p for p, _ in parts], (), (others,))


def main() -> None:
    """Play what is asked for and print the tables."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--streams", nargs="*", choices=STREAMS, default=list(REPORTED))
    asked.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    asked.add_argument("--bank", type=Path, help="the file of UCI Bank Marketing")
    asked.add_argument("--budget", type=float, default=Search().budget)
    asked.add_argument("--trials", type=int, default=Search().trials)
    asked.add_argument("--windows", type=int, default=32, help="of each stream")
    asked.add_argument("--nulls", type=int, default=0, metavar="LIVES")
    asked.add_argument("--truth", type=int, default=0, metavar="LIVES")
    given = asked.parse_args()
    warm_up()
    search = Search(budget=given.budget, trials=given.trials)
    started, lines = time.process_time(), []
    for name in given.streams:
        for seed in [0] if name in ("bank", "flights") else given.seeds:
            stream = bank(given.bank) if name == "bank" else STREAMS[name](seed)
            lines += list(compared(cut(stream, given.windows), search))
            print(show([lines[-2], lines[-1]]), flush=True)
    if lines:
        with CSV.open("w", newline="") as out:
            writer = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)
    if given.nulls:
        print(show(list(nulls(search, given.nulls))))
    if given.truth:
        print(show(list(truth(search, given.truth))))
    print(f"{time.process_time() - started:.0f} CPU seconds")


def cut(stream: Stream, count: int) -> Stream:
    """The first windows of a stream."""
    return replace(stream, windows=stream.windows[:count])


if __name__ == "__main__":
    main()
