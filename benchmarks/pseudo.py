"""Pseudo-labels for rows whose labels are not mature: when they help, and when they hurt.

Run ``make bench-pseudo``. As in the loop, the newest window with mature labels is held out: a model
learns the windows before it, is weighed by what it lost there, and is scored on the window that
comes next, which nobody has seen. Half of the rows whose labels are not mature may be taught.
``--tune`` runs the streams that criteria were chosen on, which are not reported.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import engine_streams as streams
from benchmarks.engine_fits import FIRST, Fit, Fits, _load, parameters, warm_up
from benchmarks.engine_mixture import Following, halves_of, lost_on_halves
from ratchet.contracts.metrics import row_losses, spread, student_quantile
from ratchet.contracts.recipes import STANDARD, Member, Recipe
from ratchet.contracts.score import scores_of
from ratchet.self_train.earned import weigh_earned
from ratchet.self_train.fit import boost
from ratchet.self_train.halves import foreseen, surprised
from ratchet.self_train.level import levelled_loss
from ratchet.self_train.members import plan
from ratchet.self_train.mixture import Weighing, weigh
from ratchet.self_train.pseudo import collapsed, room
from ratchet.settings import prepare_environment

SEEDS = (2001, 2002, 2003)
DELAYS = (2, 5)
NAMES = ("sea", "sine", "recurring", "hyperplane", "prior", "flights")
PUPIL = Member(
    name="pupil",
    teacher="anchor",
    history=6,
    max_depth=3,
    rounds=50,
    learning_rate=0.2,
    min_child_weight=5,
)
SURE = 0.9  # confidence from which a hard label is believed
THIN = 3  # of the flights every third counts
BLOCK = 4  # windows a block of the paired interval
LINES = "pseudo.csv"
TRUE = "true only"
# A policy: the fourth member, and whether it has to earn its weight.
POLICIES: Mapping[str, tuple[str | None, bool]] = {
    TRUE: (None, False),
    "twin": ("twin", False),
    "soft": ("soft", False),
    "soft, earned": ("soft", True),
    "hard": ("hard", False),
}
FOURTH = ("twin", "soft", "hard")

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moment:
    """Before window ``now``: labels of windows before ``known`` may be learned, those of ``known``
    are held out, and the rows of the windows after it wait for theirs."""

    now: int
    known: int
    parts: Mapping[str, Any]  # member to what gives margins of a window
    halves: Mapping[str, float]  # member to its loss on halves of the newest window that it learned
    stopped: bool  # the collapse stop


class Pupil:
    """Trees on true labels and a teacher's."""

    def __init__(self, stream: streams.Stream, model: bytes) -> None:
        self.stream, self.booster = stream, _load(model)

    def margins(self, window: int) -> Floats:
        """Log odds of the window's rows, shape (rows,)."""
        matrix = self.stream.windows[window].matrix
        return np.asarray(self.booster.inplace_predict(matrix, predict_type="margin"), dtype=float)


def main() -> None:
    """Run, write the CSVs and print the table."""
    from benchmarks import pseudo_loop

    asked = _arguments()
    prepare_environment()
    warm_up()
    lines: list[dict[str, Any]] = []
    for stream in _streams(asked):
        for delay in DELAYS:
            lines += cell(stream, delay)
            print(f"  {stream.name} {stream.seed} {delay}", file=sys.stderr, flush=True)
        if asked.tune:
            continue
        _merged(lines, Path(asked.out) / LINES)
        if stream.seed in (0, SEEDS[0]) and stream.name in pseudo_loop.NAMES:
            pseudo_loop.write(stream, Path(asked.out))
    if asked.tune:
        print(table(lines))
        return
    print(table(_merged(lines, Path(asked.out) / LINES)))
    print(pseudo_loop.table(Path(asked.out)))


def _arguments() -> argparse.Namespace:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--out", default="benchmarks/results")
    asked.add_argument("--streams", nargs="+", choices=streams.STREAMS, default=list(NAMES))
    asked.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    asked.add_argument("--tune", action="store_true", help="the streams that were tuned on")
    return asked.parse_args()


def _streams(asked: argparse.Namespace) -> Iterator[streams.Stream]:
    for name in streams.TUNE if asked.tune else asked.streams:
        if name == "flights":
            yield thinned(streams.flights())
        else:
            for seed in asked.seeds:
                yield streams.STREAMS[name](seed=seed)


def thinned(stream: streams.Stream) -> streams.Stream:
    """Every third row of each window."""
    windows = [streams.Rows(w.matrix[::THIN], w.labels[::THIN]) for w in stream.windows]
    return streams.Stream(stream.name, stream.seed, stream.features, windows)


def cell(stream: streams.Stream, delay: int) -> list[dict[str, Any]]:
    """One line a policy and a line for each fourth member alone: a stream at a label delay."""
    made = list(moments(Fits(stream), delay))
    held = [_levelled(stream, m) for m in made]
    served = {name: _served(stream, made, held, *POLICIES[name]) for name in POLICIES}
    found = []
    alone = {
        f"{n} alone": [_loss(stream, m.now, m.parts[n].margins(m.now)) for m in made]
        for n in FOURTH
    }
    for policy, losses in {**{n: s[0] for n, s in served.items()}, **alone}.items():
        base = alone["twin alone"] if policy in alone else served[TRUE][0]
        gain, half = paired(np.array(base) - np.array(losses))
        found.append(
            {
                "stream": stream.name,
                "seed": stream.seed,
                "delay": delay,
                "policy": policy,
                "windows": len(losses),
                "log_loss": round(float(np.mean(losses)), 6),
                "gain": round(gain, 6),
                "half_width": round(half, 6),
                "on": round(served[policy][1], 4) if policy in served else 1.0,
                "stopped": round(float(np.mean([m.stopped for m in made])), 4),
            }
        )
    return found


def moments(fits: Fits, delay: int) -> Iterator[Moment]:
    """Each window that is scored, with every member trained on what is known before it."""
    for now in range(FIRST + delay, len(fits.stream.windows)):
        known = now - delay - 1
        parts: dict[str, Any] = {m.name: _fit(fits, m, known) for m in STANDARD}
        twin = _fit(fits, PUPIL, known)
        more, stopped = taught(fits.stream, parts["anchor"], known, now)
        halves = {
            n: lost_on_halves(pair, levelled_loss)
            for n, pair in halves_of(fits, STANDARD, known - 1).items()
        }
        yield Moment(now, known, {**parts, "twin": twin, **more}, halves, stopped)


def _fit(fits: Fits, member: Member, known: int) -> Fit:
    found = plan(member, known)
    recipe = Recipe.model_validate(member.model_dump(exclude={"every", "teacher"}))
    return fits.window(recipe, found.first, found.end)


def taught(
    stream: streams.Stream, teacher: Fit, known: int, now: int, held: int = 1
) -> tuple[dict[str, Pupil], bool]:
    """The soft pupil and the hard one, and whether the collapse stop kept the soft one to true
    labels. Windows before ``known`` are learned, ``held`` held out; the rows after these wait."""
    first = max(known - (PUPIL.history or known), 0)
    matrix = np.concatenate([stream.windows[w].matrix for w in range(first, known)])
    labels = np.concatenate([stream.windows[w].labels for w in range(first, known)])
    waiting, soft = [], []
    for w in range(known + held, now):
        half = np.random.default_rng([stream.seed, w]).random(len(stream.windows[w].labels)) < 0.5
        waiting.append(stream.windows[w].matrix[half])
        soft.append(scores_of("binary", teacher.margins(w))[half])
    rows, said = np.concatenate(waiting), np.concatenate(soft)
    chosen = spread(len(said), room(np.ones(len(labels), dtype=np.float32), len(said)))
    newest = scores_of("binary", np.concatenate([teacher.margins(w) for w in range(first, known)]))
    n = len(chosen)
    note = collapsed(said[chosen], newest[-n:], labels[-n:])
    sure = np.flatnonzero((said > SURE) | (said < 1 - SURE))[: len(labels)]
    kept = chosen[:0] if note else chosen
    return {
        "soft": fitted(stream, (matrix, rows[kept]), (labels, said[kept])),
        "hard": fitted(stream, (matrix, rows[sure]), (labels, np.round(said[sure]))),
    }, bool(note)


def fitted(
    stream: streams.Stream,
    matrices: Sequence[NDArray[np.float32]],
    labels: Sequence[NDArray[np.floating]],
) -> Pupil:
    """Trees by the pupil's recipe."""
    recipe = Recipe.model_validate(PUPIL.model_dump(exclude={"every", "teacher"}))
    target = np.concatenate(labels).astype(np.float32)
    model = boost(
        np.concatenate(matrices), target, stream.features, parameters(recipe), recipe.rounds
    )
    return Pupil(stream, model)


def _served(
    stream: streams.Stream,
    made: Sequence[Moment],
    held: Sequence[Mapping[str, float]],
    fourth: str | None,
    earned: bool,
) -> tuple[list[float], float]:
    """The mixture's loss on each window that came next, and how often the fourth member counted."""
    teachers = {m.name: None for m in STANDARD} | ({fourth: "anchor"} if fourth else {})
    losses, counted = [], 0
    following = Following(made[0].now - made[0].known)
    for i, moment in enumerate(made):
        seen = list(held[:i])
        if surprised(seen):
            seen[-1] = foreseen(seen[-1], moment.halves)
        mixed = following.mixed(
            {n: moment.parts[n] for n in teachers}, partial(_weighed, teachers, seen, earned)
        )
        losses.append(_loss(stream, moment.now, mixed.margins(moment.now)))
        counted += bool(fourth and mixed.weights[fourth] > 0)
        before = {n: moment.parts[n].margins(moment.known) for n in teachers}
        following.see(_labels(stream, moment.known), before, mixed)
    return losses, counted / len(made)


def _weighed(
    teachers: Mapping[str, str | None],
    seen: Sequence[Mapping[str, float]],
    earned: bool,
    shares: Mapping[str, float],
) -> Weighing:
    if earned:
        return weigh_earned(teachers, seen, shares=shares)
    return weigh(list(teachers), seen, shares=shares)


def _levelled(stream: streams.Stream, moment: Moment) -> dict[str, float]:
    """What weighs the members: each one's loss on the held-out window with its level set right."""
    labels = _labels(stream, moment.known)
    return {
        n: levelled_loss("binary", labels, part.margins(moment.known))
        for n, part in moment.parts.items()
    }


def _labels(stream: streams.Stream, window: int) -> Floats:
    return stream.windows[window].labels.astype(float)


def _loss(stream: streams.Stream, window: int, margins: Floats) -> float:
    return float(row_losses("binary", _labels(stream, window), scores_of("binary", margins)).mean())


def paired(gains: Floats) -> tuple[float, float]:
    """Mean of the windows' gains, and half of its 95 % interval over blocks of four windows."""
    blocks = [b.mean() for b in np.array_split(gains, max(len(gains) // BLOCK, 2))]
    error = float(np.std(blocks, ddof=1)) / math.sqrt(len(blocks))
    return float(gains.mean()), student_quantile(0.975, len(blocks) - 1) * error


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """In how many cells each policy is better or worse, interval and all, and by how much."""
    out = [
        f"{'policy':<14}{'cells':>6}{'better':>8}{'worse':>7}{'mean gain':>11}"
        f"{'least':>9}{'most':>9}{'on':>6}"
    ]
    for policy in dict.fromkeys(line["policy"] for line in lines):
        mine = [
            {k: float(line[k]) for k in ("gain", "half_width", "on")}
            for line in lines
            if line["policy"] == policy
        ]
        gains = [m["gain"] for m in mine]
        better = sum(m["gain"] > m["half_width"] for m in mine)
        worse = sum(m["gain"] < -m["half_width"] for m in mine)
        on = sum(m["on"] for m in mine) / len(mine)
        out.append(
            f"{policy:<14}{len(mine):>6}{better:>8}{worse:>7}{np.mean(gains):>+11.4f}"
            f"{min(gains):>+9.4f}{max(gains):>+9.4f}{on:>6.2f}"
        )
    return "\n".join(out)


def _merged(lines: Sequence[Mapping[str, Any]], path: Path) -> list[Mapping[str, Any]]:
    """The lines with those of the file that were not run again, written back."""
    key = ("stream", "seed", "delay", "policy")
    old = list(csv.DictReader(path.open())) if path.is_file() else []
    found = {tuple(str(line[k]) for k in key): line for line in (*old, *lines)}
    write(path, list(found.values()))
    return list(found.values())


def write(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """A CSV of these lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        out.writeheader()
        out.writerows(lines)


if __name__ == "__main__":
    main()
