"""Which models the checks of fitness stop: what they betray, how they tremble, what they cost.

    make bench-membership BANK=bank_marketing.parquet    # 3 minutes on one core

A tenth of the rows is sealed at random; each recipe is trained on the rest of some windows and
judged as the gate does, against a champion of depth 3 that knows one window less. The limits were
chosen on the streams marked ``tune``; those marked ``report`` were not looked at before.
``exchangeable`` is the share of random splits of a later window, which no model has
seen, whose lower bound of the advantage lies above 0: it may be alpha at most.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.engine_streams import STREAMS, Stream, bank, flights
from ratchet import gate as core
from ratchet.contracts.definition import Definition, parse
from ratchet.contracts.evidence import Evidence
from ratchet.contracts.metrics import row_losses, spread
from ratchet.contracts.recipes import Recipe
from ratchet.gate.fitness import visits
from ratchet.gate.membership import look
from ratchet.self_train.fit import boost, parameters
from ratchet.settings import prepare_environment

CSV = Path(__file__).parent / "results" / "membership.csv"
RECIPES = (
    Recipe(name="depth3-rounds100", max_depth=3),
    Recipe(name="depth4-rounds60", max_depth=4, rounds=60),
    Recipe(name="depth6-rounds100"),
    Recipe(name="depth12-rounds100", max_depth=12),
    Recipe(name="depth12-rounds1000", max_depth=12, rounds=1000),
)
SHARE, LESS, SPLITS, WINDOWS, MOST, ALPHA = 0.1, 1, 400, 8, 4000, 0.05
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One recipe on one stretch of a stream."""

    part: str
    stream: str
    seed: int
    first: int
    windows: int
    rows: int
    recipe: str
    loss: float
    advantage: float
    lower: float
    membership: str
    exchangeable: float
    jitter: float
    jitter_verdict: str
    missing: float
    missing_verdict: str
    mib: float
    visits: int


def main() -> None:
    """Run the asked part, print its lines and write them."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--part", choices=("tune", "report", "both"), default="both")
    asked.add_argument("--bank", help="Parquet; left out: without bank calls")
    given = asked.parse_args()
    prepare_environment()
    parts = ("report", "tune") if given.part == "both" else (given.part,)
    with CSV.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [f.name for f in fields(Line)])
        table.writeheader()
        for part in parts:
            for stream, first, count in _stretches(part, given.bank):
                for line in judged(part, stream, first, count):
                    table.writerow(asdict(line))
                    file.flush()
                    print(*asdict(line).values(), sep=" | ", flush=True)


def _stretches(part: str, calls: str | None) -> Iterator[tuple[Stream, int, int]]:
    """Stream, first window and number of windows to train on."""
    if part == "report":
        yield flights(weeks=34), 30, 3
        for name in ("sea", "sine", "recurring"):
            yield STREAMS[name](seed=1001), 0, 10
        return
    yield flights(weeks=4), 0, 3
    if calls:
        yield bank(Path(calls)), 0, 12
    for name in ("agrawal", "mixed"):
        yield STREAMS[name](seed=1), 0, 10


def judged(part: str, stream: Stream, first: int, count: int) -> Iterator[Line]:
    """Every recipe on these windows; the window after them is the holdout."""
    definition = _definition(stream)
    held = stream.windows[first + count]
    random = np.random.default_rng([stream.seed, first])
    parts = stream.windows[first : first + count]
    sealed = [random.random(len(p.labels)) < SHARE for p in parts]
    matrix, labels = (np.concatenate([getattr(p, n) for p in parts]) for n in ("matrix", "labels"))
    away = np.concatenate(sealed)
    known = sum(len(p.labels) for p in parts[:-LESS])
    recent = np.arange(len(labels)) >= sum(len(p.labels) for p in parts[:-WINDOWS])
    before = ~away & (np.arange(len(labels)) < known)
    champion = _Model(stream, matrix[before], labels[before], RECIPES[0], definition)
    for recipe in RECIPES:
        model = _Model(stream, matrix[~away], labels[~away], recipe, definition)
        sides = [a[recent & m] for m in (~away, away) for a in (matrix, labels)]
        found = _membership(model, sides, definition)
        checks = _fitness(model, champion, held.matrix, held.labels, stream, definition)
        fresh = _losses(held.labels, model.scores(held.matrix))
        yield Line(
            part,
            stream.name,
            stream.seed,
            first,
            count,
            int((~away).sum()),
            recipe.name,
            round(float(fresh.mean()), 4),
            round(_worst(found)["advantage"], 4),
            round(_worst(found)["lower"], 4),
            found.verdict.value,
            _exchangeable(fresh, random),
            round(checks["gate.jitter"].measured or 0.0, 4),
            checks["gate.jitter"].verdict.value,
            round(checks["gate.missing"].measured or 0.0, 4),
            checks["gate.missing"].verdict.value,
            round(len(model.bytes) / 2**20, 3),
            model.visits,
        )


class _Model:
    """A booster of one recipe on one thread."""

    def __init__(
        self,
        stream: Stream,
        matrix: NDArray[np.float32],
        labels: NDArray[np.float32],
        recipe: Recipe,
        definition: Definition,
    ) -> None:
        import xgboost as xgb

        settings = parameters(definition, recipe)
        self.bytes = boost(matrix, labels, stream.features, settings, recipe.rounds)
        self.booster = xgb.Booster({"nthread": 1})
        self.booster.load_model(bytearray(self.bytes))
        self.visits = visits(recipe.model_dump(), classes=2)

    def scores(self, matrix: NDArray[np.float32]) -> Floats:
        """Probabilities, shape (rows,)."""
        return np.asarray(self.booster.inplace_predict(matrix), dtype=np.float64)


def _losses(labels: NDArray[np.float32], scores: Floats) -> Floats:
    return row_losses("binary", labels.astype(np.float64), scores)


def _membership(model: _Model, sides: list[Any], definition: Definition) -> Evidence:
    parts = []
    for matrix, labels in (sides[:2], sides[2:]):
        some = spread(len(labels), MOST)
        parts += [_losses(labels[some], model.scores(matrix[some])), labels[some].astype(float)]
    return core.judge_membership(core.MembershipInput(*parts), definition)[0]


def _worst(found: Evidence) -> Mapping[str, float]:
    looks: Mapping[str, Mapping[str, float]] = found.details["looks"]
    return max(looks.values(), key=lambda one: one["lower"])


def _fitness(
    model: _Model,
    champion: _Model,
    matrix: NDArray[np.float32],
    labels: NDArray[np.float32],
    stream: Stream,
    definition: Definition,
) -> dict[str, Evidence]:
    assert definition.fitness is not None
    some = spread(len(labels), definition.fitness.rows)
    rows = matrix[some]
    names = list(stream.features)
    table = pa.table({n: pa.array(rows[:, i], from_pandas=True) for i, n in enumerate(names)})
    moved = core.jittered(table, stream.features, definition.fitness.jitter, seed=stream.seed)
    assert moved is not None
    trembling = np.column_stack([moved[n].to_numpy().astype(np.float32) for n in names])

    def side(asked: _Model) -> core.Side:
        absent = {}
        for i, name in enumerate(names):
            holed = rows.copy()
            holed[:, i] = np.nan
            absent[name] = asked.scores(holed)
        return core.Side(asked.visits, asked.scores(rows), absent, asked.scores(trembling))

    request = core.FitnessInput(
        y=labels[some].astype(np.float64),
        sizes={"model.ubj": len(model.bytes)},
        candidate=side(model),
        champion=side(champion),
    )
    return {e.check: e for e in core.judge_fitness(request, definition)}


def _exchangeable(losses: Floats, random: np.random.Generator) -> float:
    """Share of random splits of rows that no model has seen, at which the bound is above 0."""
    alarms = 0
    for _ in range(SPLITS):
        apart = random.random(len(losses)) < 0.5
        alarms += look(losses[apart], losses[~apart], ALPHA).lower > 0
    return alarms / SPLITS


def _definition(stream: Stream) -> Definition:
    features = "\n".join(f'"{name}" = "{kind}"' for name, kind in stream.features.items())
    return parse(
        f"""
name = "bench"
source = {{ landing = "landing" }}
time = {{ column = "_time", kind = "integer", window = 1 }}
label = {{ column = "_label", classes = [0, 1] }}
validate = {{ suite = "none.json" }}
train = {{ threads = 1 }}
recipes = [{{ name = "one" }}]
sealed = {{ share = {SHARE} }}
fitness = {{ alpha = {ALPHA} }}
[features]
{features}
"""
    )


if __name__ == "__main__":
    main()
