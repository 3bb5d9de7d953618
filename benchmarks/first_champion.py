"""How often does a stream get its first champion, and when: from noise, and from a weak signal?

>>> # python -m benchmarks.first_champion --lives 200

A life is 20 windows without a champion. In each a mixture of two boosters (all windows before, the
last two) is judged on the newest window as the gate judges a first champion, with what
``ratchet init`` writes (floor .5, maximum .2). Noise: the features say nothing. ``moving level``:
the share of positives wanders by a tenth of its odds a window, and the features still say nothing.
``constant``: the candidate is the share of positives of the last two windows and nothing else.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import xgboost as xgb

from ratchet.contracts.definition import Definition, parse
from ratchet.contracts.evidence import worst
from ratchet.gate import Comparison, GateInput, judge
from ratchet.self_train.fit import boost

FEATURES, WINDOWS, TICKS = 5, 20, 1000
PIPELINE = """
name = "first"
[source]
landing = "landing"
[time]
column = "t"
kind = "integer"
window = 1000
[label]
column = "y"
classes = [0, 1]
[features]
x = "number"
[validate]
suite = "none.json"
[[recipes]]
name = "all"
[gate]
blocks = {blocks}
min_rows = {least}
floor = 0.5
max_calibration_error = 0.2
"""
BOOSTED = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 3,
    "learning_rate": 0.1,
    "max_bin": 64,
    "nthread": 1,
    "seed": 1,
}


@dataclass(frozen=True)
class World:
    """A stream: positives, signal (standard deviations of its log odds) and what is asked."""

    name: str
    rows: int
    positives: float
    signal: float = 0.0
    wander: float = 0.0
    constant: bool = False


WORLDS = (
    World("noise, 98.8 % positive", 500, 0.988),
    World("noise, 98.8 % positive", 2000, 0.988),
    World("noise, 50 % positive", 500, 0.5),
    World("noise, 50 % positive", 2000, 0.5),
    World("noise, moving level, 90 % positive", 1000, 0.9, wander=0.1),
    World("constant, moving level, 90 % positive", 1000, 0.9, wander=0.1, constant=True),
    World("constant, 98.8 % positive", 500, 0.988, constant=True),
    World("AUC .58, 50 % positive", 500, 0.5, 0.29),
    World("AUC .58, 50 % positive", 2000, 0.5, 0.29),
    World("AUC .58, 90 % positive", 2000, 0.9, 0.29),
    World("AUC .58, 98.8 % positive", 2000, 0.988, 0.29),
    World("AUC .58, 98.8 % positive", 10_000, 0.988, 0.29),
    World("AUC .70, 98.8 % positive", 2000, 0.988, 0.76),
    World("AUC .70, 50 % positive", 500, 0.5, 0.76),
)


def life(world: World, seed: int, definition: Definition) -> int | None:
    """The window that brings the first champion, from 1; None: none of 20 does."""
    random = np.random.default_rng([seed, world.rows, round(1000 * world.positives)])
    known, level = Comparison(), np.log(world.positives / (1 - world.positives))
    xs: list[np.ndarray] = []
    ys: list[np.ndarray] = []
    for window in range(WINDOWS + 1):
        x = random.normal(size=(world.rows, FEATURES)).astype(np.float32)
        odds = level + world.signal * x[:, 0]
        y = (random.random(world.rows) < 1 / (1 + np.exp(-odds))).astype(float)
        if window:
            case = _case(world, xs, ys, x, y, known, window * TICKS)
            found = judge(case, definition)
            known = found.comparison
            if case.taught and worst(e.verdict for e in found.evidence).lets_through:
                return window
        xs.append(x)
        ys.append(y)
        level += world.wander * random.normal()
    return None


@dataclass(frozen=True, eq=False)
class _Case(GateInput):
    taught: bool = True  # both classes were there to learn from


def _case(
    world: World,
    xs: list[np.ndarray],
    ys: list[np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    known: Comparison,
    start: int,
) -> _Case:
    every, last = np.concatenate(ys), np.concatenate(ys[-2:])
    taught = 0 < last.mean() < 1
    if world.constant or not taught:
        scores = np.full(len(y), float(last.mean()))
    else:
        margins = [_margins(xs, every, x), _margins(xs[-2:], last, x)]
        scores = 1 / (1 + np.exp(-np.mean(margins, axis=0)))
    events = start + np.arange(len(y)) * TICKS // len(y)
    return _Case(
        y, events, scores, None, every.mean(), len(y), 0, start, comparison=known, taught=taught
    )


def _margins(xs: list[np.ndarray], y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    kinds = {f"x{i}": "number" for i in range(FEATURES)}
    model = boost(np.concatenate(xs), y, kinds, BOOSTED, 30)
    loaded = xgb.Booster({"nthread": 1}, model_file=bytearray(model))
    return np.asarray(loaded.inplace_predict(asked, predict_type="margin"), dtype=np.float64)


def main() -> None:
    """One line a world."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--lives", type=int, default=200)
    asked.add_argument("--seed", type=int, default=7001)
    asked.add_argument("--only", default="")
    args = asked.parse_args()
    print("| stream | rows a window | lives with a champion | median window | 90 % by |")
    print("|---|---|---|---|---|")
    for world in (w for w in WORLDS if args.only in w.name):
        blocks = max(8, min(56, world.rows // 20))
        definition = parse(PIPELINE.format(blocks=blocks, least=max(30, world.rows // 3)))
        came = [life(world, args.seed + i, definition) for i in range(args.lives)]
        ordered = sorted(w if w is not None else WINDOWS + 1 for w in came)
        shown = [
            str(w) if w <= WINDOWS else f"> {WINDOWS}"
            for w in (ordered[len(ordered) // 2], ordered[int(0.9 * len(ordered))])
        ]
        share = sum(w is not None for w in came) / len(came)
        print(
            f"| {world.name} | {world.rows:,} | {share:.3f} | {shown[0]} | {shown[1]} |", flush=True
        )


if __name__ == "__main__":
    main()
