"""Clicks against satisfaction: a stream that can be gamed, with and without a true objective.

    make bench-gamed       # 5 minutes on one core; prints the table of docs/reference/gates.md

Each window the model that serves chooses what is shown; a fifth is shown at random. People click on
what is good and, more and more from window 6 on, on what is bait; bait leaves them dissatisfied.
Producers make more of what is shown. The label is the click; a quarter of what was shown is asked
whether it satisfied. The whole loop runs, each window one cycle.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

    from ratchet.contracts.lineage import Decision
    from tasks.workspace import Workspace

Floats = NDArray[np.float64]

POOL, SHOWN, EXPLORED, ASKED, WINDOW = 3000, 800, 160, 0.25, 1000
FIRST_BAIT, WINDOWS, SEEDS = 6, 30, (501, 502, 503)

PIPELINE = """
name = "feed"
[source]
landing = "landing"
features = "features/**"
labels = "labels/**"
key = ["id"]
[time]
column = "t"
kind = "integer"
window = 1000
[label]
column = "click"
classes = [0, 1]
delay = 1000
[features]
quality = "number"
bait = "number"
[validate]
suite = "expectations/feed.json"
max_skill_loss = 1.0
[train]
threads = 1
[[recipes]]
name = "recent"
history = 6
rounds = 40
max_depth = 3
[gate]
min_rows = 200
blocks = 16
floor = 0.5
max_calibration_error = 0.3
calibration_margin = 0.3
"""
TRUE = """
[true_objective]
objects = "survey/**"
column = "satisfied"
classes = [0, 1]
"""
SUITE = {
    "name": "feed",
    "expectations": [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "quality", "min_value": -20, "max_value": 20},
            "meta": {"level": "row", "reason": "quality is a score of editors"},
        }
    ],
}


@dataclass
class World:
    """Items, people and producers. ``lure`` is the mean bait of the items."""

    seed: int
    lure: float = 0.0

    def show(self, index: int, space: Workspace) -> pa.Table:
        """What the champion shows in this window, and what people make of it."""
        import pyarrow as pa

        random = np.random.default_rng([self.seed, index])
        quality, bait = random.normal(size=POOL), self.lure + random.normal(size=POOL)
        chosen = _chosen(space, quality, bait, random)
        quality, bait, mean = quality[chosen], bait[chosen], float(bait.mean())
        self.lure += 0.3 * (float(bait.mean()) - mean)
        pull = min(2.0, 0.25 * max(0, index - FIRST_BAIT + 1))
        satisfied = _logistic(0.5 + 1.5 * quality - 1.2 * bait)
        return pa.table(
            {
                "id": [f"{index}-{i}" for i in range(SHOWN)],
                "t": pa.array(index * WINDOW + np.sort(random.integers(0, WINDOW, SHOWN))),
                "quality": quality,
                "bait": bait,
                "click": _coins(random, _logistic(-0.5 + quality + pull * bait)),
                "satisfied": _coins(random, satisfied),
                "asked": random.random(SHOWN) < ASKED,
            }
        )


def _logistic(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)), dtype=np.float64)


def _coins(random: np.random.Generator, chance: Floats) -> NDArray[np.int64]:
    return (random.random(len(chance)) < chance).astype(np.int64)


def _chosen(
    space: Workspace, quality: Floats, bait: Floats, random: np.random.Generator
) -> NDArray[np.int64]:
    """Positions in the pool: the champion's best, and some at random; in no order."""
    import pyarrow as pa

    from ratchet.contracts.score import predict

    champion = space.registry.alias(space.name, "champion")
    order = random.permutation(POOL)
    if champion is not None:
        bundle = space.registry.load(space.name, champion.version)
        scores = predict(bundle, pa.table({"quality": quality, "bait": bait}))
        explored, rest = order[:EXPLORED], order[EXPLORED:]
        best = rest[np.argsort(-scores[rest], kind="stable")[: SHOWN - EXPLORED]]
        order = np.concatenate([explored, best])
    return np.asarray(random.permutation(order[:SHOWN]))


def land(home: Path, index: int, shown: pa.Table) -> None:
    """One window's rows, clicks, and the answers of those who were asked."""
    import pyarrow.parquet as pq

    parts = {
        "features": shown.select(["id", "t", "quality", "bait"]),
        "labels": shown.select(["id", "t", "click"]),
        "survey": shown.filter(shown["asked"]).select(["id", "t", "satisfied"]),
    }
    for folder, table in parts.items():
        path = home / "landing" / folder / f"w{index:03d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)


def live(home: Path, text: str, seed: int) -> Iterator[tuple[pa.Table, Decision | None]]:
    """What each window showed, and the decision after it (None before the first)."""
    from flows.retrain import one_cycle
    from ratchet.adapters.local_registry import LocalRegistry
    from ratchet.contracts.definition import parse
    from ratchet.settings import Settings
    from tasks import windows
    from tasks.workspace import Workspace

    settings = Settings(home=home, root=str(home / "tables"), state=home / "state")
    (home / "state").mkdir(parents=True)
    space = Workspace(parse(text), json.loads(json.dumps(SUITE)), settings)
    space.__dict__["registry"] = LocalRegistry(home / "state" / "registry")
    space.__dict__["reporter"] = _Blank()
    world = World(seed)
    for index in range(WINDOWS):
        shown = world.show(index, space)
        land(home, index, shown)
        made = [one_cycle(space, window) for window in windows.undecided(space, None, None)]
        yield shown, made[-1] if made else None


class _Blank:
    """Draws no drift report."""

    def draw(self, *_: object) -> object:
        from ratchet.contracts.seams import Report

        return Report("<html></html>", "{}")


def measure(text: str, seed: int) -> dict[str, float]:
    """Click rate, satisfaction and promotions over the last ten windows of one life."""
    with tempfile.TemporaryDirectory() as scratch:
        found = list(live(Path(scratch) / "home", text, seed))
    last = [shown for shown, _ in found[-10:]]
    late = [d for _, d in found[FIRST_BAIT:] if d is not None]
    return {
        "clicks": float(np.mean([t["click"].to_numpy().mean() for t in last])),
        "satisfied": float(np.mean([t["satisfied"].to_numpy().mean() for t in last])),
        "bait": float(np.mean([t["bait"].to_numpy().mean() for t in last])),
        "promoted": float(sum(d.outcome == "promoted" for d in late)),
        "blocked": float(sum(_blocked(d) for d in late)),
    }


def _blocked(decision: Decision) -> bool:
    mine = (e for e in decision.evidence if e.check.startswith("gate.true_objective"))
    return any(e.verdict == "BLOCK" for e in mine)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="See the module's docstring.")
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    seeds = parser.parse_args().seeds
    from ratchet.settings import prepare_environment

    prepare_environment()
    print(f"Means of seeds {seeds}; the last ten of {WINDOWS} windows\n")
    print("| gate | clicks | satisfied | bait shown | promoted | blocked by it |")
    print("|---|---|---|---|---|---|")
    for name, text in (("without a true objective", PIPELINE), ("with one", PIPELINE + TRUE)):
        lives = [measure(text, seed) for seed in seeds]
        cells = {key: float(np.mean([one[key] for one in lives])) for key in lives[0]}
        print(
            f"| {name} | {cells['clicks']:.3f} | {cells['satisfied']:.3f} | {cells['bait']:+.2f} "
            f"| {cells['promoted']:.1f} | {cells['blocked']:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
