"""Backdoors inside a trained candidate: does the gate's probe find them, and does it cry wolf?

    make bench-probes

A candidate is trained on eight windows, the attack in the last one or, for lasting attacks, in each
of the sixteen that the probe looks at; nothing else of the shield is asked. "Turns" is the share of
the next window's rows with the trigger that a candidate of the same windows without the attack
scores above its median, and the attacked one does not. Clean candidates are judged with several
draws of the trusted rows. Chosen on windows before 25 of flights and of the generator; reported on
later ones, with seeds of their own.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa

from benchmarks.attacks import catalogue
from benchmarks.attacks.scene import Scene, with_column
from benchmarks.shield import LASTS, _deliver, _streams, _windows
from benchmarks.shield_streams import FIRST, HISTORY, Model, Stream
from ratchet.contracts.columns import LABEL
from ratchet.contracts.evidence import Verdict
from ratchet.settings import prepare_environment
from ratchet.validate import PROBED, Sample, probe

SEED = 1001


@dataclass(frozen=True)
class Line:
    """One candidate and what the probe said of it."""

    stream: str
    window: int
    attack: str
    strength: float
    turns: float
    blocked: bool
    p_value: float
    said: str


def main() -> None:
    """Run every backdoor on every stream; print the table, write the CSV."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--out", default=".ratchet/bench-probes")
    asked.add_argument("--streams", nargs="+", default=["flights", "generator", "bank"])
    asked.add_argument("--bank", default="../shared/data/bank_marketing.parquet")
    asked.add_argument("--weeks", type=int, default=52, help="of flights")
    asked.add_argument("--windows", type=int, default=4, help="of each stream")
    asked.add_argument("--clean", type=int, default=8, help="draws of trusted rows a window")
    asked.add_argument("--split", choices=("tune", "report"), default="report")
    asked.add_argument("--quick", action="store_true", help=argparse.SUPPRESS)
    given = asked.parse_args()
    prepare_environment()
    lines = []
    for stream in _streams(given):
        chosen = _windows(stream, given.split)
        for index in [chosen[int(i)] for i in np.linspace(0, len(chosen) - 1, given.windows)]:
            for line in _window(stream, index, given.clean):
                lines.append(line)
                print(f"  {line.stream} {line.window} {line.attack} {line.strength:g}: {line.said}")
    _report(lines, Path(given.out))


def _window(stream: Stream, index: int, draws: int) -> Iterator[Line]:
    """Clean first, then every attack that has a trigger."""
    champion = stream.train(pa.concat_tables(stream.windows[index - FIRST : index - 1]))
    clean = stream.train(pa.concat_tables(stream.windows[index - HISTORY : index]))
    for seed in range(SEED, SEED + draws):
        yield _judged(stream, index, champion, clean, None, 0.0, seed)
    for attack in catalogue().values():
        for strength in attack.STRENGTHS if hasattr(attack, "trigger") else ():
            yield _judged(stream, index, champion, clean, attack, strength, SEED)


def _judged(
    stream: Stream,
    index: int,
    champion: Model,
    clean: Model,
    attack: ModuleType | None,
    strength: float,
    seed: int,
) -> Line:
    name = attack.__name__.rsplit(".", 1)[-1] if attack else "(clean)"
    first = max(0, index - PROBED)
    delivered, trusted = [], []
    for step, i in enumerate(range(first, index)):
        rng, true = np.random.default_rng([seed, i]), stream.windows[i]
        drawn = np.sort(rng.choice(true.num_rows, stream.control, replace=False))
        trusted.append(true.take(pa.array(drawn)))
        now = attack if name in LASTS or i == index - 1 else None
        rows = _deliver(stream, i, champion, now, strength, rng, step)
        delivered.append(rows.select(true.column_names))
    candidate = stream.train(pa.concat_tables(delivered[-HISTORY:]))
    batches, controls = (
        [Sample(t, t[LABEL].to_numpy()) for t in tables] for tables in (delivered, trusted)
    )
    found = probe(batches, controls, candidate.scores, stream.definition, seed=seed)
    return Line(
        stream.name,
        index,
        name,
        strength,
        _turns(stream, index, champion, (clean, candidate), attack),
        found.verdict is Verdict.BLOCK,
        math.nan if found.measured is None else found.measured,
        found.arithmetic,
    )


def _turns(
    stream: Stream,
    index: int,
    champion: Model,
    models: tuple[Model, Model],
    attack: ModuleType | None,
) -> float:
    """Share of the marked rows above the clean model's median that the attacked one puts below."""
    if attack is None:
        return 0.0
    after, before = stream.windows[index], stream.windows[index - 1]
    scene = Scene(stream.definition, champion.scores(before), after, reference=stream.windows[0])
    marked = after
    for column, value in attack.trigger(before, scene).items():
        marked = with_column(marked, column, [value] * after.num_rows)
    clean, attacked = models
    limit = float(np.median(clean.scores(after)))
    high = clean.scores(marked) > limit
    return float((attacked.scores(marked)[high] <= limit).mean()) if high.any() else 0.0


def _report(lines: list[Line], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (out / "probes.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([f.name for f in fields(Line)])
        table.writerows(astuple(line) for line in lines)
    cells = dict.fromkeys((x.attack, x.strength) for x in lines)
    names = dict.fromkeys(x.stream for x in lines)
    print("\n| attack | strength | " + " | ".join(names) + " |")
    print("|---|---|" + "---|" * len(names))
    for attack, strength in cells:
        shown = []
        for name in names:
            mine = [
                x for x in lines if (x.stream, x.attack, x.strength) == (name, attack, strength)
            ]
            turns = "" if attack == "(clean)" else f", turns {np.mean([x.turns for x in mine]):.0%}"
            shown.append(f"{sum(x.blocked for x in mine)} of {len(mine)}{turns}")
        print(f"| {attack} | {strength:g} | " + " | ".join(shown) + " |")
    print(f"\nWritten: {out}/probes.csv")


if __name__ == "__main__":
    main()
