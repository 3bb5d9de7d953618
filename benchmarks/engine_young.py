"""The first weeks of a stream: the engine against full retraining, from the first window on.

    python -m benchmarks.engine_young

``make bench-engine`` scores from window 8 on. Here the first windows that can be scored count:
with a label delay of d, windows 1 + d to 8 + d, with whatever little is known by then.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import engine_scores as scores
from benchmarks import engine_streams as streams
from benchmarks.engine_fits import Fits, warm_up
from benchmarks.engine_mixture import engine
from benchmarks.engine_policies import POLICIES
from ratchet.contracts.metrics import row_losses
from ratchet.settings import prepare_environment

SCORED = 8
DELAYS = (0, 1, 2)
NAMES = ("full, depth 6", "full, depth 3", "engine")


def main() -> None:
    """Run every stream that is reported and print a line for each delay."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--bank", default="../shared/data/bank_marketing.parquet")
    asked.add_argument("--seed", type=int, default=1001, help="of the generators")
    given = asked.parse_args()
    prepare_environment()
    warm_up()
    print(f"| stream, delay | {' | '.join(NAMES)} | CPU, of depth 6 |")
    print("|---|" + "---|" * (len(NAMES) + 1))
    for stream in _reported(Path(given.bank), given.seed):
        for delay in DELAYS:
            print(_line(stream, delay), flush=True)


def _reported(bank: Path, seed: int) -> Iterator[streams.Stream]:
    for name, make in streams.STREAMS.items():
        if name == "flights":
            yield streams.flights(weeks=max(DELAYS) + SCORED + 1)
        elif name == "bank" and bank.is_file():
            yield streams.bank(bank)
        elif name not in (*streams.TUNE, "bank"):
            yield make(seed=seed)


def _line(stream: streams.Stream, delay: int) -> str:
    losses, cpu = {}, {}
    for name in NAMES:
        fits = Fits(stream, range(1 + delay, 1 + delay + SCORED))
        play = scores.run(fits, {**POLICIES, "engine": engine()}[name], delay)
        labels = {w: stream.windows[w].labels.astype(float) for w in play.scores}
        by_window = [row_losses("binary", labels[w], s).mean() for w, s in play.scores.items()]
        losses[name], cpu[name] = np.mean(by_window), play.cpu_seconds
    shown = " | ".join(f"{losses[name]:.4f}" for name in NAMES)
    return f"| {stream.name}, {delay} | {shown} | {cpu['engine'] / cpu[NAMES[0]]:.2f} |"


if __name__ == "__main__":
    main()
