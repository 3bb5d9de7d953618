"""How a policy did on a stream: quality, cost, and how it behaves when the world changes.

>>> line = judge(stream, 2, "full, depth 6", played)                    # doctest: +SKIP
>>> line.auc, line.cpu_seconds                                          # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine_fits import Fits, Model, parameters, plain
from benchmarks.engine_peers import Played
from benchmarks.engine_policies import Policy
from benchmarks.engine_streams import Rows, Stream
from ratchet.contracts.calibration import calibration_error
from ratchet.contracts.metrics import auc, row_losses, student_quantile
from ratchet.contracts.score import scores_of
from ratchet.self_train.fit import boost

CLOSED = 0.8  # recovered: so much of what the drift cost is won back
HARMLESS = 0.02  # a drift that costs less nats than this needs no recovery
BLOCK = 4  # windows a block, when two policies are compared


@dataclass(frozen=True, eq=False)
class Play:
    """A policy's scores of each judged window, and what they cost.

    ``before`` are the losses that the model of the window before would have had; NaN where unknown.
    """

    scores: Mapping[int, NDArray[np.float64]]
    before: Mapping[int, float]
    cpu_seconds: float
    retrainings: int


@dataclass(frozen=True)
class Line:
    """One line of the results: a policy on a stream at a label delay.

    Attributes:
        auc: mean over windows.
        log_loss, brier: mean over rows; log loss in nats.
        calibration_error: over all rows.
        cpu_seconds: training and scoring, one thread.
        retrainings: models trained.
        recovery: windows of mature labels until 80 % of what a drift cost is won back, mean over
            the drift points; NaN where there is none.
        worst_window: the largest log loss above what the model of the window before had.
    """

    stream: str
    seed: int
    delay: int
    policy: str
    auc: float
    log_loss: float
    brier: float
    calibration_error: float
    cpu_seconds: float
    retrainings: int
    recovery: float
    worst_window: float


def run(fits: Fits, policy: Policy, delay: int) -> Play:
    """Test, then train, window after window."""
    scores, before, cpu, made = {}, {}, 0.0, 0
    previous: Model | None = None
    for w, step in zip(fits.judged, policy(fits, delay), strict=True):
        margins = step.model.margins(w)
        scores[w] = scores_of("binary", margins)
        cpu += sum(f.seconds for f in (*step.trained, *step.tried)) + step.model.predict_seconds(w)
        made += len(step.trained)
        if previous is not None:
            labels = fits.stream.windows[w].labels
            before[w] = _loss(labels, scores_of("binary", previous.margins(w)))
        previous = step.model
    return Play(scores, before, cpu, made)


def of_peer(played: Played, delay: int) -> Play:
    """What river's learner did. Its model changes with each row, so none is the one before."""
    return Play(played.scores[delay], {}, played.seconds, 0)


class Scored(NamedTuple):
    """Log loss and AUC of one window; the AUC is NaN where the window has one class."""

    loss: float
    auc: float


def judge(stream: Stream, delay: int, policy: str, play: Play) -> tuple[Line, dict[int, Scored]]:
    """The line, and each window's scores."""
    y = np.concatenate([stream.windows[w].labels for w in play.scores]).astype(float)
    scores = np.concatenate(list(play.scores.values()))
    losses = {w: _loss(stream.windows[w].labels, play.scores[w]) for w in play.scores}
    ranks = [auc(stream.windows[w].labels.astype(float), play.scores[w]).value for w in play.scores]
    rises = [losses[w] - loss for w, loss in play.before.items()]
    line = Line(
        stream.name,
        stream.seed,
        delay,
        policy,
        float(np.nanmean(ranks)),
        float(row_losses("binary", y, scores).mean()),
        float(np.mean((scores - y) ** 2)),
        calibration_error("binary", y, scores),
        play.cpu_seconds,
        play.retrainings,
        recovery(losses, floors(stream), delay),
        max(rises, default=math.nan),
    )
    return line, {w: Scored(losses[w], rank) for w, rank in zip(play.scores, ranks, strict=True)}


def floors(stream: Stream) -> dict[int, dict[int, float]]:
    """For each drift point, the log loss by window of a model that knows the new concept well."""
    found: dict[int, dict[int, float]] = {}
    ends = [*stream.drifts[1:], len(stream.windows)]
    for drift, end, rows in zip(stream.drifts, ends, stream.oracle, strict=False):
        if stream not in _FLOORS:
            _FLOORS[stream] = {}
        if drift not in _FLOORS[stream]:
            _FLOORS[stream][drift] = _oracle(stream, rows, range(drift, end))
        found[drift] = _FLOORS[stream][drift]
    return found


_FLOORS: dict[Stream, dict[int, dict[int, float]]] = {}


def _oracle(stream: Stream, rows: Rows, span: range) -> dict[int, float]:
    from ratchet.contracts.score import booster

    model = boost(rows.matrix, rows.labels, stream.features, parameters(plain(3)), 100)
    loaded = booster(model, 1)
    return {
        w: _loss(
            stream.windows[w].labels,
            np.asarray(loaded.inplace_predict(stream.windows[w].matrix), dtype=float),
        )
        for w in span
    }


def recovery(
    losses: Mapping[int, float], floors: Mapping[int, Mapping[int, float]], delay: int
) -> float:
    """Mean windows of mature labels after a drift until 80 % of its cost is won back.

    A drift that is not recovered from before the next one counts with its whole span. NaN where no
    drift point is judged.
    """
    found = []
    for drift, floor in floors.items():
        if drift - 1 not in losses:
            continue
        cost = losses[drift] - floor[drift]
        if cost < HARMLESS:
            found.append(0)
            continue
        after = range(drift + delay + 1, max(floor) + 1)
        back = (w for w in after if losses[w] - floor[w] <= (1 - CLOSED) * cost)
        found.append(next(back, max(floor) + 1) - drift - delay)
    return float(np.mean(found)) if found else math.nan


def compare(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Mean of ours minus theirs, window by window, and half the width of its 95 % interval.

    Windows that follow one another resemble each other, so blocks of four are the units; Student's
    t over their means.
    """
    differences = np.asarray(ours) - np.asarray(theirs)
    blocks = [differences[i : i + BLOCK].mean() for i in range(0, len(differences), BLOCK)]
    if len(blocks) < 5:
        return float(differences.mean()), math.inf
    error = float(np.std(blocks, ddof=1)) / math.sqrt(len(blocks))
    return float(differences.mean()), student_quantile(0.975, len(blocks) - 1) * error


def _loss(labels: NDArray[np.floating], scores: NDArray[np.float64]) -> float:
    return float(row_losses("binary", labels.astype(float), scores).mean())
