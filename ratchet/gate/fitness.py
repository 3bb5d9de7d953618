"""Is the candidate fit to serve: small and quick enough, and steady where inputs fail or tremble?

>>> visits({"rounds": 100, "max_depth": 6}, classes=2)
600

Better on the holdout is not enough. A model may be too large for where it serves, too slow, lost
when one feature stops coming, or so rugged that noise in the last digit turns its scores.

**Latency is work, not time.** A decision has to come out the same when it is replayed, on any
machine and under any load, and its digest covers every number in its evidence; a measured time
would do for neither. So the check counts what a score costs: trees times depth, the most nodes that
a row may visit. Against the champion that is a ratio, as a measured one would be; a budget in
microseconds becomes work through a declared speed. The time that was measured is logged and decides
nothing.

**Missing.** Each feature in turn is taken away from the same rows of the holdout, for candidate and
champion. The candidate blocks where its loss is shown to be higher by more than the margin:
Student's lower bound of the paired excess, at alpha over the number of features (Bonferroni).
Without a champion scores have to be finite and in range, no more: trees that never saw a missing
value send it anywhere, and a first champion that leans on one feature is worse than a constant
without it.

**Jitter.** Numbers move by a normal step of a small share of their standard deviation; the 99th
percentile of how far scores move may exceed neither a limit nor the champion's by more than a
margin, because how far a good model moves depends on the stream.

Promise: plain arithmetic on scores that are handed in; the same rows give the same verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import LOSS_NAME, row_losses
from ratchet.gate.trusted import mean_and_bound

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition
    from ratchet.contracts.fitness import Fitness
    from ratchet.contracts.lineage import Lineage

    Floats = NDArray[np.float64]

SIZE, LATENCY, MISSING, JITTER = "gate.size", "gate.latency", "gate.missing", "gate.jitter"
QUANTILE = 0.99
MIB = 1 << 20


@dataclass(frozen=True, eq=False)
class Side:
    """One model on the rows that are asked.

    Attributes:
        visits: nodes that a row visits at most.
        scores: as :func:`ratchet.contracts.score.predict` gives them; NaN where it refused to.
        without: feature to the scores of the rows without it.
        jittered: scores of the rows with their numbers moved; None where no feature is a number.
    """

    visits: int
    scores: Floats
    without: Mapping[str, Floats] = field(default_factory=dict)
    jittered: Floats | None = None


@dataclass(frozen=True, eq=False)
class FitnessInput:
    """What the checks of fitness look at.

    Attributes:
        y: shape (rows,): class index or target of some rows of the holdout.
        sizes: file of the candidate's bundle to its bytes.
        candidate: the model that would serve.
        champion: the model that serves; None when there is none.
    """

    y: Floats
    sizes: Mapping[str, int]
    candidate: Side
    champion: Side | None


def judge_fitness(request: FitnessInput, definition: Definition) -> list[Evidence]:
    """``gate.size``, ``gate.latency``, ``gate.missing`` and ``gate.jitter``.

    Nothing where the pipeline declares no ``[fitness]``; no ``gate.jitter`` where no feature is a
    number.
    """
    part = definition.fitness
    if part is None:
        return []
    found = [_size(request, part), _latency(request, part), _missing(request, definition)]
    if request.candidate.jittered is not None:
        found.append(_jitter(request, definition))
    return found


def visits(recipe: Mapping[str, Any], classes: int) -> int:
    """Nodes that a row visits at most in the trees of a recipe: trees times depth."""
    return int(recipe["rounds"]) * int(recipe["max_depth"]) * (classes if classes > 2 else 1)


def visits_of(lineage: Lineage, classes: int) -> int:
    """The same of a whole model: its own trees, or those of every member."""
    recipes = [m.recipe for m in lineage.members] or [lineage.recipe]
    return sum(visits(recipe, classes) for recipe in recipes)


def jittered(
    rows: pa.Table, features: Mapping[str, str], share: float, seed: int
) -> pa.Table | None:
    """The rows with each number moved by a normal step of ``share`` of its standard deviation.

    Missing stays missing. None where no feature is a number.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = [name for name, kind in features.items() if kind == "number"]
    random = np.random.default_rng(seed)
    for name in numbers:
        values = pc.cast(rows[name], pa.float64(), safe=False).to_numpy()
        there = values[np.isfinite(values)]
        step = share * (float(there.std()) if len(there) else 0.0)
        moved = values + step * random.normal(size=len(values))
        place = rows.column_names.index(name)
        rows = rows.set_column(place, name, pa.array(moved, pa.float64(), from_pandas=True))
    return rows if numbers else None


def _size(request: FitnessInput, part: Fitness) -> Evidence:
    total, limit = sum(request.sizes.values()), part.max_bundle_mib
    found = total / MIB
    fits = found <= limit
    largest = max(request.sizes, key=lambda name: request.sizes[name])
    text = (
        f"bundle of {total:,} bytes = {found:.4g} MiB {'<=' if fits else '>'} {limit:g} MiB; "
        f"the largest file is {largest} with {request.sizes[largest]:,}"
    )
    return Evidence(SIZE, Verdict.PASS if fits else Verdict.BLOCK, text, found, limit)


def _latency(request: FitnessInput, part: Fitness) -> Evidence:
    work = request.candidate.visits
    said, wrong = [], False
    limit = float("inf")
    if request.champion is not None:
        before = request.champion.visits
        limit = part.max_work_ratio * before
        sign = ">" if work > limit else "<="
        said.append(
            f"{work / before:.3g} times the champion's {before:,} {sign} {part.max_work_ratio:g}"
        )
        wrong |= work > limit
    if part.max_row_us is not None:
        microseconds = work / part.visits_per_second * 1e6
        over = microseconds > part.max_row_us
        limit = min(limit, part.max_row_us * part.visits_per_second / 1e6)
        said.append(
            f"at {part.visits_per_second:g} visits a second {microseconds:.4g} us "
            f"{'>' if over else '<='} {part.max_row_us:g} us"
        )
        wrong |= over
    text = f"a row visits at most {work:,} nodes"
    text += ": " + "; ".join(said) if said else "; no champion and no budget to compare with"
    verdict = Verdict.BLOCK if wrong else Verdict.PASS
    return Evidence(LATENCY, verdict, text, float(work), limit if said else None)


def _missing(request: FitnessInput, definition: Definition) -> Evidence:
    """Bounds of (candidate's loss - (1 + margin) x the champion's), both without the feature."""
    part, objective = definition.fitness, definition.label.objective
    assert part is not None  # noqa: S101  the caller asked
    names = list(request.candidate.without)
    bad = [n for n in names if _out_of_range(objective, request.candidate.without[n])]
    if bad:
        text = f"without {bad[0]} scores are not finite or out of range; so of {len(bad)} features"
        return Evidence(MISSING, Verdict.BLOCK, text, float(len(bad)), 0.0)
    if request.champion is None:
        text = f"without each of {len(names)} features scores are finite and in range; no champion"
        return Evidence(MISSING, Verdict.PASS, f"{text} to compare with", 0.0, 0.0)
    found = []
    for name in names:
        pair = (request.candidate.without[name], request.champion.without[name])
        mine, theirs = (row_losses(objective, request.y, scores) for scores in pair)
        excess = mine - (1 + part.missing_margin) * theirs
        mean, half = mean_and_bound(excess, part.alpha / len(names))
        found.append((mean - half, float(mine.mean()), float(theirs.mean()), name))
    lower, after, before, worst = max(found)
    worse = [name for low, *_, name in found if low > 0]
    text = (
        f"each of {len(names)} features taken away: {len(worse)} leave the candidate worse than "
        f"the champion by more than a share of {part.missing_margin:g}; most without {worst}: "
        f"{LOSS_NAME[objective]} {before:.4f} -> {after:.4f}, lower bound of the excess "
        f"{lower:.4f} {'>' if worse else '<='} 0"
    )
    verdict = Verdict.BLOCK if worse else Verdict.PASS
    return Evidence(MISSING, verdict, text, lower, 0.0, {"worse": worse})


def _jitter(request: FitnessInput, definition: Definition) -> Evidence:
    part, objective = definition.fitness, definition.label.objective
    assert part is not None  # noqa: S101  the caller asked
    assert request.candidate.jittered is not None  # noqa: S101
    if _out_of_range(objective, request.candidate.jittered):
        text = "scores of rows whose numbers moved are not finite or out of range"
        return Evidence(JITTER, Verdict.BLOCK, text)
    found = _movement(request.candidate, objective, request.y)
    limit, said = part.max_jitter_change, "the maximum"
    if request.champion is not None and request.champion.jittered is not None:
        allowed = _movement(request.champion, objective, request.y) + part.jitter_margin
        if allowed < limit:
            limit, said = allowed, f"the champion's + {part.jitter_margin:g}"
    fits = found <= limit
    text = (
        f"numbers moved by {part.jitter:g} of their standard deviation: 1 row of 100 changes its "
        f"score by more than {found:.4f} {'<=' if fits else '>'} {limit:.4f} ({said})"
    )
    verdict = Verdict.PASS if fits else Verdict.BLOCK
    return Evidence(JITTER, verdict, text, found, limit)


def _movement(side: Side, objective: str, y: Floats) -> float:
    """The 99th percentile of how far scores move, from 0 to 1; of a regression in standard
    deviations of the target."""
    import numpy as np

    assert side.jittered is not None  # noqa: S101
    moved = np.abs(side.jittered - side.scores)
    if objective == "multiclass":
        moved = moved.sum(axis=1) / 2  # total variation
    elif objective == "regression":
        moved = moved / (float(y.std()) or 1.0)
    return float(np.quantile(moved, QUANTILE))


def _out_of_range(objective: str, scores: Floats) -> bool:
    import numpy as np

    if not np.isfinite(scores).all():
        return True
    return objective != "regression" and bool((scores < 0).any() or (scores > 1).any())
