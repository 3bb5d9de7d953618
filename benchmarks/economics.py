"""Retraining only where it pays, against retraining always and every so many windows.

    make bench-economics BANK=bank_marketing.parquet         # a quarter of an hour on one core
    python -m benchmarks.economics --streams bank sine --delays 0

Each window's model (all history, 100 rounds, depth 3) is trained once and scored on every later
window; what a rule would have served, and paid, is then arithmetic. A new model serves at once: the
gate is not played here. Prices: one mean training costs as much as a loss larger by ``kappa`` over
one window's predictions. ``--tune`` picks the constants on streams that are not reported.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine_fits import FIRST, Fits, plain, warm_up
from benchmarks.engine_streams import STREAMS, TUNE, Stream, bank
from ratchet.contracts.economics import Economics
from ratchet.self_train import economics as core

CSV = Path(__file__).parent / "results" / "economics.csv"
KAPPAS = (0.0003, 0.001, 0.003, 0.01, 0.03)
EVERY = (1, 2, 4, 8)
ROUNDS, DEPTH, SPEED = 100, 3, 1e9


@dataclass(frozen=True, eq=False)
class Grid:
    """Trainings on one stream: ``loss[i, j]`` on window j of the model of windows ``[0, i)``."""

    name: str
    seed: int
    loss: NDArray[np.float64]
    rows: NDArray[np.int64]
    cells: NDArray[np.float64]
    seconds: NDArray[np.float64]

    def prices(self, kappa: float) -> Economics:
        """Prices in CPU seconds: a mean training costs as much as ``kappa`` over a window."""
        seconds = float(self.cells[FIRST:].mean()) / SPEED
        worth = seconds / (kappa * float(self.rows.mean()))
        return Economics(loss_worth=worth, cpu_hour=3600, cells_per_second=SPEED)


def grid_of(stream: Stream) -> Grid:
    """Train a model a window and score it on all that come later."""
    fits, count = Fits(stream), len(stream.windows)
    loss = np.full((count, count), np.nan)
    rows = np.array([len(w.labels) for w in stream.windows])
    cells, seconds = np.zeros(count), np.zeros(count)
    for i in range(FIRST - 6, count):
        fit = fits.window(plain(DEPTH), 0, i)
        fits._made.clear()  # one model at a time
        cells[i] = core.cells(fit.rows, len(stream.features), ROUNDS, DEPTH)
        seconds[i] = fit.seconds
        for j in range(i, count):
            loss[i, j] = log_loss(fit.margins(j), stream.windows[j].labels)
    return Grid(stream.name, stream.seed, loss, rows, cells, seconds)


def log_loss(margins: NDArray[np.float64], labels: NDArray[np.float32]) -> float:
    """Mean log loss of log odds."""
    return float(np.logaddexp(0, np.where(labels > 0.5, -margins, margins)).mean())


Rule = Callable[[int, int, "Known"], bool]  # newest labelled window, windows trained before, known


@dataclass(eq=False)
class Known:
    """What a pipeline would have in its decisions."""

    looks: list[core.Look]
    served: list[float]
    last: int


def play(grid: Grid, delay: int, rule: Rule) -> tuple[NDArray[np.float64], list[int]]:
    """Loss of what served on each judged window, and when models were trained."""
    known, champion = Known([], [], -1), -1
    lost, trained = [], []
    for t in range(FIRST - 6, len(grid.rows) - 1 - delay):  # t: the newest window with labels
        if champion < 0 or rule(t, champion, known):
            if champion >= 0:
                gap = grid.loss[champion, t] - grid.loss[t, t]
                known.looks.append(core.Look(t, t - champion, float(gap)))
            trained.append(t)
        if champion >= 0:
            known.served.append(float(grid.loss[champion, t]))
        if trained[-1] == t:
            champion, known.last = t, t
        if t + 1 + delay >= FIRST:
            lost.append(grid.loss[champion, t + 1 + delay])
    return np.array(lost), trained


def every(k: int) -> Rule:
    """A fixed schedule."""
    return lambda t, _, known: t - known.last >= k


def pays(
    grid: Grid, prices: Economics, fade: float = core.FADE, optimism: float = core.OPTIMISM
) -> Rule:
    """The rule of the loop, as :func:`ratchet.self_train.economics.invest` decides."""

    def rule(t: int, champion: int, known: Known) -> bool:
        forced = core.fell(known.served, float(grid.loss[champion, t]))
        if t - known.last > prices.max_wait:
            forced = forced or "waited long enough"
        predictions = grid.rows[known.last + 1 : t + 1].tolist()
        offer = core.Offer(float(grid.cells[t]), predictions, t - champion, t)
        curve = core.staleness(known.looks, t, fade=fade, optimism=optimism)
        return core.invest(offer, curve, prices, forced).train

    return rule


def bill(grid: Grid, lost: NDArray[np.float64], trained: list[int], kappa: float) -> float:
    """Mean loss plus what training cost, in the same unit, a window."""
    spent = grid.cells[trained].sum() / grid.cells[FIRST:].mean()
    return float(lost.mean() + kappa * spent / len(lost))


def interval(difference: NDArray[np.float64], block: int = 4) -> float:
    """Half the width of a 95 % interval of the mean, over blocks of neighbouring windows."""
    means = [part.mean() for part in np.array_split(difference, max(len(difference) // block, 2))]
    return float(1.96 * np.std(means, ddof=1) / np.sqrt(len(means)))


def tune(grids: list[Grid], delays: list[int]) -> Iterator[dict[str, object]]:
    """Each pair of constants: its bill above the best fixed schedule's, mean over all cells."""
    for fade, optimism in itertools.product((0.8, 0.9, 0.95, 1.0), (0.0, 0.5, 1.0, 2.0)):
        above = []
        for grid, delay, kappa in itertools.product(grids, delays, KAPPAS):
            mine = bill(
                grid, *play(grid, delay, pays(grid, grid.prices(kappa), fade, optimism)), kappa
            )
            best = min(bill(grid, *play(grid, delay, every(k)), kappa) for k in EVERY)
            above.append((mine - best) / kappa)
        yield {"fade": fade, "optimism": optimism, "above_best": f"{np.mean(above):.4f}"}


def judged(grid: Grid, delay: int) -> Iterator[dict[str, object]]:
    """A line a price: the rule beside the schedules."""
    always, all_trained = play(grid, delay, every(1))
    for kappa in KAPPAS:
        lost, trained = play(grid, delay, pays(grid, grid.prices(kappa)))
        fixed = {k: bill(grid, *play(grid, delay, every(k)), kappa) for k in EVERY}
        best = min(fixed, key=lambda k: fixed[k])
        yield {
            "stream": grid.name,
            "seed": grid.seed,
            "delay": delay,
            "kappa": kappa,
            "trained": len(trained),
            "of": len(all_trained),
            "cpu_share": grid.seconds[trained].sum() / grid.seconds[all_trained].sum(),
            "loss": lost.mean(),
            "loss_more": (lost - always).mean(),
            "interval": interval(lost - always),
            "bill": bill(grid, lost, trained, kappa),
            "bill_always": fixed[1],
            "bill_best": fixed[best],
            "best_every": best,
        }


def show(lines: Sequence[Mapping[str, object]]) -> str:
    """A table for people."""
    shown = [[*lines[0]], *([str(v) for v in one.values()] for one in lines)]
    widths = [max(len(row[i]) for row in shown) for i in range(len(shown[0]))]
    return "\n".join("  ".join(v.rjust(w) for v, w in zip(r, widths, strict=True)) for r in shown)


def main() -> None:
    """Train what is asked for, then compare, and write the lines to ``results``."""
    asked = argparse.ArgumentParser(description=__doc__)
    known = [n for n in STREAMS if n not in (*TUNE, "bank")]
    asked.add_argument("--streams", nargs="+", choices=STREAMS, default=known)
    asked.add_argument("--seeds", nargs="+", type=int, default=[1001, 1002])
    asked.add_argument("--delays", nargs="+", type=int, default=[0, 2])
    asked.add_argument("--bank", type=Path, help="the file of UCI Bank Marketing")
    asked.add_argument("--tune", action="store_true", help="choose constants; reports nothing")
    given = asked.parse_args()
    warm_up()
    grids = []
    for name in TUNE if given.tune else given.streams:
        if name == "bank" and given.bank is None:
            asked.error("bank: its file is not part of this repository; give --bank PATH")
        real = name in ("bank", "flights")
        for seed in [0] if real else given.seeds:
            grids.append(grid_of(bank(given.bank) if name == "bank" else STREAMS[name](seed)))
            seconds, work = grids[-1].seconds.sum(), grids[-1].cells.sum()
            print(
                f"{name} {seed}: {seconds:.0f} CPU s, {work / seconds:.2g} cells each", flush=True
            )
    if given.tune:
        print(show(list(tune(grids, given.delays))))
        return
    lines = [line for grid in grids for delay in given.delays for line in judged(grid, delay)]
    write(kept(set(given.streams)) + [{k: _text(v) for k, v in one.items()} for one in lines])


def kept(again: set[str]) -> list[dict[str, str]]:
    """The lines of streams that were not run again, so that a run can be cut into pieces."""
    if not CSV.exists():
        return []
    with CSV.open() as found:
        return [one for one in csv.DictReader(found) if one["stream"] not in again]


def write(lines: list[dict[str, str]]) -> None:
    """The lines to a file, and as a table."""
    with CSV.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    print(show(lines))


def _text(value: object) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
