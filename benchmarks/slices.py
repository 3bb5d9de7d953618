"""Slices that nobody declared: how often one is said to be worse in vain, how often one is found.

    make bench-slices BANK=FILE     # 20 minutes on one core; writes benchmarks/results/slices.csv

*Lives.* A life is 10 holdouts of 2,000 rows and 4 features, in which the excess loss is 0 on
average in every slice, drawn in ways that are unkind to a test; every holdout is asked. *Models.* A
candidate learned from the four windows before the newest, the champion from those before the one
before; both are judged on the newest. In a hurt candidate the labels that it learned from were
turned in a slice of 5 or 2 % of the rows, another one each time. What was tuned, was tuned on
``--tune``: other streams and seeds.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks import engine_streams as streams
from ratchet.contracts.metrics import row_losses
from ratchet.gate.discovered import STRETCHES, lower_bound, suspected
from ratchet.gate.rule import Condition, Rule
from ratchet.gate.searches import Searches
from ratchet.gate.weak import LEAST_BLOCKS, LEAST_ROWS, weakest

Floats = NDArray[np.float64]

CSV = Path(__file__).parent / "results" / "slices.csv"
ALPHA, MARGIN, BLOCKS, SEED = 0.05, 0.05, 56, 20261126
HURT = (0.05, 0.02)
ROWS, FEATURES, QUESTIONS = 2000, 4, 10
WINDOW, HISTORY, COUNT = 6000, 4, 20  # rows of a generator's window; windows learned from; windows
WEEKS = 24  # of flights
NULL_HEAD = (
    "| nothing is worse | lives with a finding | asked | wrong at the first level |"
    "\n|---|---|---|---|"
)
HEAD = (
    "| stream | hurt | holdouts | harmed | found of them | harmed, better overall | found of "
    "them | asked | found | CPU s |\n|---|---|---|---|---|---|---|---|---|---|"
)
TUNING = ("agrawal", "mixed", "rbf")


class Asked(NamedTuple):
    """One holdout: suspected rows, whether that was a question, and whether they are said to be
    worse; CPU seconds."""

    mine: NDArray[np.bool_]
    asked: bool
    worse: bool
    seconds: float


def ask(
    matrix: NDArray[np.float32], kinds: dict[str, str], excess: Floats, known: Searches
) -> Asked:
    """What :func:`ratchet.gate.judge_discovered` asks of one holdout."""
    started = time.process_time()
    blocks = np.arange(len(excess)) * BLOCKS // len(excess)
    mine = suspected(matrix, list(kinds.values()), excess, blocks * STRETCHES // BLOCKS)
    asked = mine.sum() >= LEAST_ROWS and len(np.unique(blocks[mine])) >= LEAST_BLOCKS
    worse = False
    if asked:
        spread, level = float(excess.std()), known.level(ALPHA)
        worse = lower_bound(excess[mine], blocks[mine], spread, level)[1] > 0
    return Asked(mine, bool(asked), worse, time.process_time() - started)


def independent(random: np.random.Generator, features: Floats) -> Floats:
    """Independent, normal."""
    return random.normal(size=len(features))


def heavy(random: np.random.Generator, features: Floats) -> Floats:
    """Student's t with 3 degrees of freedom."""
    return random.standard_t(3, size=len(features))


def losses(random: np.random.Generator, features: Floats) -> Floats:
    """Mostly a little worse, seldom much better (skewness -6)."""
    return float(np.exp(0.5)) - random.lognormal(0, 1, len(features))


def leaning(rho: float) -> Callable[[np.random.Generator, Floats], Floats]:
    """Each value of the first feature, and all rows, have shocks a block that lean on the last."""

    def sample(random: np.random.Generator, features: Floats) -> Floats:
        groups = np.minimum(np.abs(features[:, 0] * 2).astype(int), 4)
        block = np.arange(len(features)) * BLOCKS // len(features)
        shocks = random.normal(size=(BLOCKS, 6))
        for i in range(1, BLOCKS):
            shocks[i] = rho * shocks[i - 1] + (1 - rho**2) ** 0.5 * shocks[i]
        noise = random.normal(size=len(features))
        return noise + 0.3 * shocks[block, groups] + 0.3 * shocks[block, 5]

    return sample


NULLS: dict[str, Callable[[np.random.Generator, Floats], Floats]] = {
    "independent": independent,
    "heavy tails (t, 3 degrees)": heavy,
    "a tail of gains (skewness -6)": losses,
    "shocks of slices and blocks, independent": leaning(0.0),
    "shocks of slices and blocks, neighbours correlated 0.3": leaning(0.3),
    "shocks of slices and blocks, neighbours correlated 0.5": leaning(0.5),
}


def lives(name: str, count: int, seed: int) -> tuple[float, float, float]:
    """Share of lives with a finding, questions a holdout, share of questions that the first level
    would answer wrongly."""
    wrong, questions, first = 0, 0, 0
    for life in range(count):
        random, known = np.random.default_rng([seed, life]), Searches()
        features = random.normal(size=(ROWS, FEATURES))
        kinds = {f"x{i}": "number" for i in range(FEATURES)}
        for _ in range(QUESTIONS):
            excess = NULLS[name](random, features)
            found = ask(features.astype(np.float32), kinds, excess, known)
            if not found.asked:
                continue  # as in the gate: nothing spent
            questions += 1
            first += ask(features.astype(np.float32), kinds, excess, Searches()).worse
            known = known.after(found=found.worse)
        wrong += known.found > 0
    return wrong / count, questions / count / QUESTIONS, first / max(questions, 1)


def windows_of(name: str, seed: int, bank: Path | None) -> streams.Stream:
    """The stream with windows of :data:`WINDOW` rows; bank's of six batches."""
    if name == "flights":
        return streams.flights(weeks=WEEKS)
    if name == "bank":
        from benchmarks.shield_streams import bank as tables

        return streams._of_tables(tables(bank or Path(), batches=6), 0)
    streams.ROWS, streams.COUNT = WINDOW, COUNT
    streams.DRIFTS = (8, 12, 16)
    return streams.STREAMS[name](seed)


def table_of(stream: streams.Stream, matrix: NDArray[np.float32]) -> pa.Table:
    """The features as the gate sees them: numbers, and categories as strings."""
    columns: dict[str, Any] = {}
    for i, (name, kind) in enumerate(stream.features.items()):
        there = ~np.isnan(matrix[:, i])
        if kind == "category":
            values = [
                str(int(v)) if ok else None for v, ok in zip(matrix[:, i], there, strict=True)
            ]
            columns[name] = pa.array(values, pa.string())
        else:
            columns[name] = pa.array(matrix[:, i].astype(float), mask=~there)
    return pa.table(columns)


def trained(stream: streams.Stream, parts: list[streams.Rows], labels: Floats | None = None) -> Any:
    """A plain XGBoost model of these windows."""
    import xgboost as xgb

    types = ["c" if k == "category" else "q" for k in stream.features.values()]
    matrix = np.concatenate([p.matrix for p in parts])
    y = np.concatenate([p.labels for p in parts]) if labels is None else labels
    data = xgb.DMatrix(matrix, y, feature_types=types, enable_categorical=True, nthread=1)
    options = {"objective": "binary:logistic", "max_depth": 5, "eta": 0.2, "nthread": 1}
    booster = xgb.train({**options, "tree_method": "hist"}, data, 40)

    def scores(rows: streams.Rows) -> Floats:
        asked = xgb.DMatrix(rows.matrix, feature_types=types, enable_categorical=True, nthread=1)
        return np.asarray(booster.predict(asked), dtype=np.float64)

    return scores


def slices_of(rows: pa.Table, kinds: dict[str, str], share: float, random: Any) -> Rule | None:
    """A slice of about this share of the rows: a value, a range, or a pair of ranges."""
    for _ in range(60):
        names = random.choice(list(kinds), random.integers(1, 3), replace=False).tolist()
        part = share ** (1 / len(names))
        rule = Rule(tuple(_condition(rows, n, kinds[n], part, random) for n in names))
        if 0.75 * share < rule.mask(rows).mean() < 1.3 * share:
            return rule
    return None


def _condition(rows: pa.Table, name: str, kind: str, share: float, random: Any) -> Condition:
    if kind == "category":
        values = [v for v in rows[name].unique().to_pylist() if v is not None]
        return Condition(name, value=str(random.choice(sorted(values))) if values else "")
    values = np.sort(rows[name].drop_null().to_numpy())
    if not len(values):
        return Condition(name)
    first = random.integers(0, max(int(len(values) * (1 - share)), 1))
    last = min(first + int(share * rows.num_rows), len(values) - 1)
    return Condition(name, low=float(values[first]), high=float(values[last]) + 1e-9)


def holdouts(stream: streams.Stream, seed: int) -> Iterator[tuple[Any, ...]]:
    """A window each: its index, rows, the champion's losses, and for each candidate the share that
    was hurt, its losses and the slice (None: clean). The champion is the clean candidate before."""
    kinds, champion = dict(stream.features), None
    for w in range(min(HISTORY, len(stream.windows) // 2), len(stream.windows)):
        learned, held = stream.windows[max(w - HISTORY, 0) : w], stream.windows[w]
        table, y = table_of(stream, held.matrix), held.labels.astype(float)
        clean = trained(stream, learned)
        if champion is not None:
            found = [(0.0, row_losses("binary", y, clean(held)), None)]
            for hurt in HURT:
                random = np.random.default_rng([seed, w, int(hurt * 1000)])
                rule = slices_of(table, kinds, hurt, random)
                if rule is not None:
                    model = trained(stream, learned, turned(stream, learned, rule))
                    found.append((hurt, row_losses("binary", y, model(held)), rule))
            yield w, table, row_losses("binary", y, champion(held)), found
        champion = clean


def turned(stream: streams.Stream, learned: list[streams.Rows], rule: Rule) -> Floats:
    """The labels of these windows, turned where the rule holds."""
    rows = table_of(stream, np.concatenate([part.matrix for part in learned]))
    labels = np.concatenate([part.labels for part in learned])
    return np.where(rule.mask(rows), 1 - labels, labels)


def judged(stream: streams.Stream, seed: int) -> list[dict[str, Any]]:
    """A line for each candidate: what the gate would have found.

    Clean candidates are one life of the pipeline; each hurt one is the tenth question of its own.
    ``harmed`` says whether its slice is worse beyond the margin by 3 standard errors of all rows,
    ``overall`` whether it improves on the champion, so that it would be asked at all; ``of_slice``
    how much of its slice was suspected.
    """
    known, out = Searches(), []
    for w, table, before, candidates in holdouts(stream, seed):
        matrix = stream.windows[w].matrix
        blocks = np.arange(len(matrix)) * BLOCKS // len(matrix)
        for hurt, after, rule in candidates:
            excess = after - (1 + MARGIN) * before
            state = Searches(asked=9) if hurt else known
            found = ask(matrix, dict(stream.features), excess, state)
            if found.asked and not hurt:
                known = known.after(found=found.worse)
            mine = None if rule is None else rule.mask(table)
            named = weakest(table, stream.features, excess, blocks) if found.worse else None
            out.append(
                {
                    "stream": stream.name,
                    "seed": seed,
                    "window": w,
                    "rows": len(before),
                    "hurt": hurt,
                    "slice": rule or "",
                    "harmed": int(mine is not None and standing(mine, excess) > 3),
                    "overall": int(after.mean() < before.mean()),
                    "asked": int(found.asked),
                    "found": int(found.worse),
                    "suspected": int(found.mine.sum()),
                    "before": round(float(before[found.mine].mean()), 4) if found.worse else "",
                    "after": round(float(after[found.mine].mean()), 4) if found.worse else "",
                    "of_slice": "" if mine is None else round(float(found.mine[mine].mean()), 3),
                    "said": named or "",
                    "seconds": round(found.seconds, 3),
                }
            )
    return out


def standing(mine: NDArray[np.bool_], excess: Floats) -> float:
    """Mean excess of these rows over its standard error."""
    return float(excess[mine].mean() / excess[mine].std() * mine.sum() ** 0.5)


def main() -> None:
    """Print the tables, and write the second one."""
    parser = argparse.ArgumentParser(description="See the module's docstring.")
    parser.add_argument("--lives", type=int, default=1000)
    parser.add_argument("--nulls", nargs="*", default=list(NULLS))
    parser.add_argument("--bank", type=Path)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1001])
    parser.add_argument("--streams", nargs="*")
    given = parser.parse_args()
    seed = 20130101 if given.tune else SEED
    if given.lives:
        print(NULL_HEAD)
        for name in given.nulls:
            wrong, asked, mean = lives(name, given.lives, seed)
            print(f"| {name} | {wrong:.4f} | {asked:.2f} | {mean:.4f} |", flush=True)
    real = ["flights", *(["bank"] if given.bank else [])]
    names = given.streams
    if names is None:
        names = TUNING if given.tune else [*real, "sine", "hyperplane"]
    lines = []
    print(f"\n{HEAD}", flush=True)
    for name in names:
        for one in [0] if name in ("flights", "bank") else given.seeds:
            lines += (made := judged(windows_of(name, one, given.bank), one or SEED))
            for hurt in (0.0, *HURT):
                print(_row(name, hurt, [m for m in made if m["hurt"] == hurt]), flush=True)
    if lines and not given.tune:
        with CSV.open("w", newline="") as out:
            writer = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)


def _row(name: str, hurt: float, lines: list[dict[str, Any]]) -> str:
    harmed = [one for one in lines if one["harmed"]]
    better = [one for one in harmed if one["overall"]]
    cells: list[Any] = [name, f"{hurt:g}", len(lines)]
    for some in (harmed, better):
        cells += [len(some), sum(one["found"] for one in some)]
    cells += [sum(one[key] for one in lines) for key in ("asked", "found")]
    seconds = max((one["seconds"] for one in lines), default=0)
    return "| " + " | ".join(str(c) for c in (*cells, seconds)) + " |"


if __name__ == "__main__":
    main()
