"""What the watch measures: who serves, does it load, do labels come, is it still better?

>>> still_better(now, before, events, windows=3, blocks=14, alpha=0.01).verdict  # doctest: +SKIP
<Verdict.PASS: 'PASS'>

Promise: however often it looks, the chance of ever accusing a champion that is no worse than the
one before it stays at most ``alpha``; what it cannot measure it says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ratchet.contracts.calibration import equal_mass
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import clustered_error, figure, student_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.lineage import Decision

    Floats = NDArray[np.float64]

FEWEST = 300  # rows; with fewer nothing is said
SKILL = "watch.skill"


def state(found: Sequence[Evidence]) -> Literal["Completed", "Degraded", "Blocked"]:
    """What a list of runs shows: ``Blocked`` for a wrong champion, ``Degraded`` for trouble."""
    verdicts = {e.verdict for e in found}
    if Verdict.BLOCK in verdicts:
        return "Blocked"
    return "Degraded" if verdicts & {Verdict.ERROR, Verdict.WARN} or not found else "Completed"


def promotion(made: Sequence[Decision], serves: int) -> Decision | None:
    """The newest move that made this version champion; None where no decision did."""
    moves = [d for d in made if d.champion_after == serves and d.champion_before != serves]
    return moves[-1] if moves else None


def predecessor(made: Sequence[Decision], serves: int) -> int | None:
    """The champion that a rollback would put back; after a rollback there is none to go to."""
    move = promotion(made, serves)
    return None if move is None or move.is_rollback else move.champion_before


def serving(recorded: int | None, found: int | None) -> Evidence:
    """Whether the registry's champion is the one that the last decision named."""
    if recorded == found:
        return Evidence("watch.champion", Verdict.PASS, f"version {found} serves, as decided")
    text = (
        f"version {found} is champion in the registry, but the last decision named {recorded}: "
        "somebody moved the alias by hand; 'ratchet rollback --to' puts a gated version back"
    )
    return Evidence("watch.champion", Verdict.BLOCK, text)


def loads(role: str, version: int, trouble: str) -> Evidence:
    """Whether a version could be downloaded, verified and asked to predict just now."""
    if trouble:
        text = f"{role} version {version} cannot serve: {trouble}"
        return Evidence("watch.loads", Verdict.ERROR, text)
    text = f"{role} version {version} was verified and predicts"
    return Evidence("watch.loads", Verdict.PASS, text)


def backlog(complete: int, busy: bool) -> Evidence:
    """Whether complete windows wait for a decision; one may, until the next scheduled run."""
    text = f"{complete} complete windows wait for a decision, 1 allowed"
    late = complete > 1 and not busy
    verdict = Verdict.WARN if late else Verdict.PASS
    return Evidence("watch.backlog", verdict, text, float(complete), 1.0)


def label_lag(newest_decided: int, newest_known: int | None) -> Evidence:
    """Whether labels come as late as declared.

    Args:
        newest_decided: index of the newest decided window.
        newest_known: index of the newest window in which a label became known; None without any.
    """
    if newest_known is None:
        text = "no label has been accepted yet"
        return Evidence("watch.labels", Verdict.INCONCLUSIVE, text)
    late = newest_decided - newest_known
    text = f"no label was accepted in the newest {late} windows, 1 allowed"
    verdict = Verdict.WARN if late > 1 else Verdict.PASS
    return Evidence("watch.labels", verdict, text, float(late), 1.0)


def still_better(
    champion: Floats,
    before: Floats,
    events: NDArray[np.int64],
    *,
    windows: int,
    blocks: int,
    alpha: float,
) -> Evidence:
    """Champion against the one before it, on rows that came after both and have a label now.

    A one-sided t-test on the mean difference in loss, whose error is summed by blocks of event time
    (Liang and Zeger 1986). The ``k``-th window after the promotion is tested at
    ``alpha / (k (k + 1))``: these levels add up to alpha, so by the union bound repeated looks cost
    nothing in error. It may accuse, never praise: ``PASS`` means not shown to be worse.

    Args:
        champion, before: shape (rows,), losses on the same rows.
        events: shape (rows,), ticks.
        windows: windows since the promotion, from 1.
        blocks: of event time in a window (``gate.blocks``): rows of one block share what made them
            hard, so one block is one observation.
        alpha: chance of ever accusing a champion that is no worse.
    """
    import numpy as np

    rows = len(champion)
    if rows < FEWEST:
        text = f"{rows} labelled rows since the promotion, {FEWEST} needed"
        return Evidence(SKILL, Verdict.INCONCLUSIVE, text, float(rows), float(FEWEST))
    worse = champion - before
    if not np.isfinite(worse).all():
        return Evidence(SKILL, Verdict.ERROR, "losses that are not finite")
    codes = equal_mass(events, blocks * windows)
    mean, count = float(worse.mean()), int(codes.max()) + 1
    if count < 5:
        return Evidence(SKILL, Verdict.INCONCLUSIVE, f"{count} different event times, 5 needed")
    level = alpha / (windows * (windows + 1))
    error = clustered_error((worse - mean) / rows, codes)
    lower = mean + student_quantile(level, count - 1) * error
    accused = lower > 0
    text = (
        f"loss {figure(champion.mean())} against {figure(before.mean())} of the champion before, "
        f"on {rows:,} rows since: worse by {figure(mean)}, lower bound {figure(lower)} "
        f"{'>' if accused else '<='} 0"
    )
    verdict = Verdict.BLOCK if accused else Verdict.PASS
    details = {"level": level, "blocks": count, "windows": windows}
    return Evidence(SKILL, verdict, text, lower, 0.0, details)
