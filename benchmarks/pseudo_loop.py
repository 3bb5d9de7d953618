"""Fifty generations of models that learn from models: with the guards, and without.

Each generation is scored on the next window. Unguarded, it learns the last six windows with the
labels that the generation before gave them, soft or hard, and true ones of the first two windows
alone. Guarded, it is the pupil of ``benchmarks.pseudo``: true labels once they are mature (two
windows later), a teacher of true labels for the rest, at least as many true labels as others, and
the collapse stop.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pseudo
from benchmarks.engine_fits import Fits
from benchmarks.engine_streams import Stream
from ratchet.contracts.metrics import row_losses
from ratchet.contracts.recipes import STANDARD
from ratchet.contracts.score import scores_of
from ratchet.self_train.pseudo import collapsed

NAMES = ("flights", "hyperplane")
GENERATIONS, TRUE, DELAY, HISTORY = 50, 2, 2, 6
LINES = "pseudo_generations.csv"
SHOWN = (1, 5, 10, 20, 30, 40, 50)


def write(stream: Stream, out: Path) -> None:
    """Run, and put the lines of this stream into the file."""
    path = out / LINES
    old = list(csv.DictReader(path.open())) if path.is_file() else []
    kept = [line for line in old if line["stream"] != stream.name]
    pseudo.write(path, [*kept, *generations(stream)])


def generations(stream: Stream) -> Iterator[dict[str, Any]]:
    """A line a generation and kind of loop."""
    kinds = {
        "guarded": guarded(stream),
        "unguarded, soft": unguarded(stream, hard=False),
        "unguarded, hard": unguarded(stream, hard=True),
    }
    for kind, found in kinds.items():
        for generation, (loss, stop) in enumerate(found, start=1):
            yield {
                "stream": stream.name,
                "seed": stream.seed,
                "loop": kind,
                "generation": generation,
                "log_loss": round(loss, 6),
                "stop": int(stop),
            }


def unguarded(stream: Stream, *, hard: bool) -> Iterator[tuple[float, bool]]:
    """Loss of each generation, and whether the collapse stop would have refused its labels."""
    given = [stream.windows[w].labels.astype(float) for w in range(TRUE)]
    truth, stop = np.concatenate(given), False
    for now in range(TRUE, TRUE + GENERATIONS):
        first = max(now - HISTORY, 0)
        rows = [stream.windows[w].matrix for w in range(first, now)]
        model = pseudo.fitted(stream, rows, given[first:now])
        scores = scores_of("binary", model.margins(now))
        on_true = np.concatenate([scores_of("binary", model.margins(w)) for w in range(TRUE)])
        labels = np.round(scores) if hard else scores
        stop = stop or bool(collapsed(labels, on_true, truth))
        yield _loss(stream, now, scores), stop
        given.append(labels)


def guarded(stream: Stream) -> Iterator[tuple[float, bool]]:
    """Loss of each generation, and whether the collapse stop kept it to true labels."""
    fits, anchor = Fits(stream), STANDARD[0]
    for now in range(TRUE, TRUE + GENERATIONS):
        known = max(now - DELAY, 1)
        teacher = pseudo._fit(fits, anchor, known)
        made, stop = pseudo.taught(stream, teacher, known, now, held=0)
        yield _loss(stream, now, scores_of("binary", made["soft"].margins(now))), stop


def _loss(stream: Stream, window: int, scores: Any) -> float:
    labels = stream.windows[window].labels.astype(float)
    return float(row_losses("binary", labels, scores).mean())


def table(out: Path) -> str:
    """Log loss by generation; a star where the collapse stop spoke up."""
    if not (out / LINES).is_file():
        return ""
    lines = list(csv.DictReader((out / LINES).open()))
    text = [f"{'stream':<12}{'loop':<17}" + "".join(f"{g:>9}" for g in SHOWN)]
    for stream, kind in dict.fromkeys((line["stream"], line["loop"]) for line in lines):
        mine = {
            int(line["generation"]): line
            for line in lines
            if (line["stream"], line["loop"]) == (stream, kind)
        }
        cells = [
            f"{float(mine[g]['log_loss']):.4f}{'*' if int(mine[g]['stop']) else ' '}" for g in SHOWN
        ]
        text.append(f"{stream:<12}{kind:<17}" + "".join(f"{c:>9}" for c in cells))
    return "\n".join(text)
