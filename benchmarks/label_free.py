"""How close does ``watch.expected`` come, does its band hold, and what is its warning worth?

    make bench-label-free         # BANK=FILE adds bank calls

Flights, bank calls and River's generators through the whole loop, with labels that come one, two
and five windows late. After each cycle the estimate is made as ``ratchet watch`` makes it, and held
against the labels of those very rows, which the loop does not have yet. Beside it two who only look
back: "the last measured value stays" and "the mean of the last twelve".
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import engine_streams as streams
from benchmarks import flights_scratch
from benchmarks.moved import LENGTH, table_of, workspace_of
from ratchet.contracts.columns import ACCEPTED, EVENT, KEY
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import auc, row_losses
from ratchet.contracts.score import predict
from ratchet.settings import prepare_environment, quiet_logs
from tests.streams import quick

if TYPE_CHECKING:
    from tasks.workspace import Workspace

GENERATORS = ("sea", "sine", "recurring", "hyperplane", "prior", "shift")
ABRUPT = ("sea", "sine", "recurring")


@dataclass(frozen=True)
class Seen:
    """One estimate; ``loss`` and ``auc`` each as estimated, last measured, mean measured, true.

    ``top``: what measured losses explain. ``half``: of the band. ``doubt``: not to be trusted.
    """

    window: int
    loss: tuple[float, float, float, float]
    auc: tuple[float, float, float, float]
    half: float
    top: float
    doubt: bool

    @property
    def inside(self) -> bool:
        """Whether the true loss lies within the band."""
        return abs(self.loss[3] - self.loss[0]) <= self.half

    @property
    def foretold(self) -> bool:
        """Whether the whole band lies above what measured losses explain."""
        return self.loss[0] - self.half > self.top

    @property
    def rose(self) -> bool:
        """Whether the true loss does."""
        return self.loss[3] > self.top


@dataclass(frozen=True)
class Life:
    """One stream at one delay: its estimates, the windows whose labels the shield blocked, and the
    windows at which its concept changes."""

    seen: list[Seen]
    blocked: list[int]
    drifts: tuple[int, ...]

    def hidden(self, window: int, delay: int) -> bool:
        """Whether a new concept holds of which no label counts yet: not come, or blocked."""
        start = max((d for d in self.drifts if d <= window), default=-1)
        waited = range(start + delay, window + 1)
        return start >= 0 and all(w in self.blocked for w in waited)


def main() -> None:
    """Print the tables."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--bank", default="../shared/data/bank_marketing.parquet")
    asked.add_argument("--streams", nargs="+", default=["flights", "bank", *GENERATORS])
    asked.add_argument("--seeds", nargs="+", type=int, default=[1001])
    asked.add_argument("--delays", nargs="+", type=int, default=[1, 2, 5])
    given = asked.parse_args()
    prepare_environment()
    quiet_logs()
    lives: dict[tuple[str, int], list[Life]] = defaultdict(list)
    for name in given.streams:
        if name == "bank" and not Path(given.bank).is_file():
            continue
        for seed in given.seeds if name in GENERATORS else [0]:
            for delay, life in _lives(name, seed, given.delays, Path(given.bank)):
                lives[name, delay].append(life)
                print(f"{name} {seed} {delay}: {len(life.seen)}", file=sys.stderr, flush=True)
    show(lives)


def _lives(name: str, seed: int, delays: Sequence[int], bank: Path) -> Iterator[tuple[int, Life]]:
    """The stream played once for each delay, in windows."""
    stream = None
    if name != "flights":
        make: Mapping[str, Callable[..., streams.Stream]] = {**streams.STREAMS, "shift": shift}
        stream = streams.bank(bank) if name == "bank" else make[name](seed=seed)
    for delay in delays:
        with TemporaryDirectory(prefix="ratchet-bench-") as scratch:
            if stream is None:
                space, late = quick(flights_scratch.workspace(Path(scratch))), f"{7 * delay}d"
                landed = Path(scratch, "landing", "labels")
                truth = pq.read_table(landed, columns=["flight_id", "late"])
                drifts: tuple[int, ...] = ()
            else:
                table = table_of(stream, windows=len(stream.windows))
                space, late = workspace_of(Path(scratch), table), str(delay * LENGTH)
                truth, drifts = table.select(["id", "y"]), stream.drifts
            label = space.definition.label.model_copy(update={"delay": late})
            definition = space.definition.model_copy(update={"label": label})
            space = quick(replace(space, definition=definition))
            yield delay, play(space, truth.rename_columns(["key", "label"]), delay, drifts)


def shift(seed: int) -> streams.Stream:
    """SEA's first rule throughout, while the first feature's mean swings: the inputs alone move."""
    from river.datasets import synth

    windows = []
    for w in range(streams.COUNT):
        source = synth.SEA(variant=0, seed=seed * 1000 + w, noise=0.1)
        drawn = [(*x.values(), y) for x, y in source.take(3 * streams.ROWS)]
        every = np.array(drawn, dtype=np.float32)
        weights = np.exp(2 * np.sin(w / 4) * (every[:, 0].astype(float) - 5) / 5)
        rng = np.random.default_rng([seed, w])
        chosen = rng.choice(len(every), streams.ROWS, replace=False, p=weights / weights.sum())
        windows.append(streams.Rows(every[chosen, :-1], every[chosen, -1]))
    return streams.Stream("shift", seed, dict.fromkeys("abc", "number"), windows)


def play(space: Workspace, truth: pa.Table, delay: int, drifts: tuple[int, ...]) -> Life:
    """The loop over all of it, and an estimate after each cycle."""
    from flows.retrain import run_windows
    from tasks import decisions, windows
    from tasks.expected import expected

    due = windows.undecided(space, None, None)
    place = {space.calendar.label(w): w.index for w in due}

    @cache
    def real(version: int, first: int, last: int) -> tuple[float, float]:
        """True log loss and AUC of a version on the rows of some windows."""
        columns = [KEY, EVENT, *space.definition.features]
        rows = space.tables.read(ACCEPTED, columns, (first, last + 1)).combine_chunks()
        labels = truth["label"].take(pc.index_in(rows[KEY], value_set=truth["key"]))
        y = labels.to_numpy().astype(float)
        kept = np.isfinite(y)
        scores = predict(space.registry.load(space.name, version), rows)[kept]
        return float(row_losses("binary", y[kept], scores).mean()), auc(y[kept], scores).value

    seen, blocked = [], []
    for decision in run_windows(space, due):
        at, version = decision.window_index, decision.champion_after
        labels = [e for e in decision.evidence if e.check.startswith("labels.")]
        blocked += [at] if any(e.verdict is Verdict.BLOCK for e in labels) else []
        if version is None:
            continue
        made = decisions.done(space)
        found = expected(space, made, version, at)
        if "past" not in found.details:
            continue
        old = [place[label] for label, _, _ in found.details["past"]]
        served = [[d.champion_after for d in made if d.window_index < w][-1] for w in old]
        past = [real(v or version, w, w)[1] for v, w in zip(served, old, strict=True)]
        seen.append(_seen(at, found, past, real(version, at - delay + 1, at)))
    return Life(seen, blocked, drifts)


def _seen(at: int, found: Evidence, aucs: list[float], now: tuple[float, float]) -> Seen:
    losses = [measured for _, _, measured in found.details["past"]]
    return Seen(
        window=at,
        loss=(float(found.measured or 0.0), losses[-1], fmean(losses), now[0]),
        auc=(found.details["auc"], aucs[-1], fmean(aucs), now[1]),
        half=found.details["half_width"],
        top=float(found.threshold or 0.0),
        doubt=not found.details["trusted"],
    )


def show(lives: Mapping[tuple[str, int], list[Life]]) -> None:
    """How close it comes, whether the band holds and what warnings are worth; then the drifts."""
    print("| stream, delay | windows | error of loss: estimate, last, mean | of AUC |", end=" ")
    print("band +- | inside, trusted | inside, not trusted |", end=" ")
    print("loss rose: foretold, flagged | did not: foretold, flagged |\n" + "|---" * 9 + "|")
    for (name, delay), played in lives.items():
        print(f"| `{name}`, {delay} | {closeness([s for p in played for s in p.seen])} |")
        if name in ABRUPT:
            seen = [s for p in played for s in p.seen if not p.hidden(s.window, delay)]
            print(f"| without the hidden | {closeness(seen)} |")
    print("\n| stream, delay | hidden | above the band | labels blocked after |", end=" ")
    print("flag after | band +- before | after |\n" + "|---" * 7 + "|")
    for (name, delay), played in lives.items():
        if name in ABRUPT:
            print(f"| `{name}`, {delay} | {drifted(played, delay)} |")


def closeness(seen: Sequence[Seen]) -> str:
    """Mean absolute errors, the band's median half width, how often the truth is inside. Then of
    windows whose loss rose beyond what measured losses explain, and of the others: how many there
    were, how many the band foretold, how many had the flag up."""
    errors = [
        ", ".join(f"{fmean(abs(v[i] - v[3]) for v in of):.3f}" for i in range(3))
        for of in ([s.loss for s in seen], [s.auc for s in seen])
    ]
    inside = [_share([s.inside for s in seen if s.doubt is doubt]) for doubt in (False, True)]
    width, warned = f"{median(s.half for s in seen):.3f}", []
    for rose in (True, False):
        of = [s for s in seen if s.rose is rose]
        warned.append(f"{len(of)}: {sum(s.foretold for s in of)}, {sum(s.doubt for s in of)}")
    return " | ".join([str(len(seen)), *errors, width, *inside, *warned])


def drifted(played: Sequence[Life], delay: int) -> str:
    """While the new concept has no label that counts: how often the loss is above the band. Windows
    from the drift to the first blocked labels and to the flag ("-": not before the next drift; a
    drift before the first estimate is left out). The band when the concept changed, and once labels
    were in, in the median."""
    hidden, blocks, flags, before, after = [], [], [], [], []
    for life in played:
        for start, end in zip(life.drifts, [*life.drifts[1:], streams.COUNT], strict=True):
            span = [s for s in life.seen if start <= s.window < end]
            if not span or span[0].window != start:
                continue
            away = [s for s in span if life.hidden(s.window, delay)]
            hidden += [s.loss[3] > s.loss[0] + s.half for s in away]
            blocks.append(next((b - start for b in life.blocked if start <= b < end), None))
            flags.append(next((s.window - start for s in span if s.doubt), None))
            before.append(span[0].half)
            after += [s.half for s in span if s not in away]
    lags = [", ".join("-" if v is None else str(v) for v in found) for found in (blocks, flags)]
    widths = [f"{median(w):.3f}" if w else "-" for w in (before, after)]
    return " | ".join([str(len(hidden)), _share(hidden), *lags, *widths])


def _share(held: Sequence[bool]) -> str:
    return f"{sum(held)} of {len(held)}" if held else "none"


if __name__ == "__main__":
    main()
