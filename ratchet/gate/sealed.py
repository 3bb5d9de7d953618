"""The last check: the candidate on sealed rows, read once, out of an account that runs dry.

>>> account = Account()
>>> round(account.level(0.05), 4), round(account.after(passed=False, rows=600).left(0.05), 4)
(0.0304, 0.0196)

Every other row of a holdout has been looked at: recipes are chosen by such rows, gates are passed
on them, people read their numbers. A sealed row has been kept from all of it. It is read by one
decision, after every other check has passed, and then it is spent.

**Which rows.** Sealed rows of the held-out windows, which came after all that either model was
trained on, and which no decision has read. Sealed rows of a window that the candidate was trained
on would not do: its other rows share their day with them, the candidate knew these and the champion
did not (docs/reference/gates.md says how much that flatters it).

**What is claimed.** A reading at level a lets a candidate that is worse by more than
``sealed.margin`` on these windows through with a chance of at most a, given all that was known
before, because no choice so far depended on these rows. A reading that does not confirm has spent
its level; one that confirms gets it back. The level is ``alpha 6 / (pi i)^2``, i one more than the
readings that failed. Before the first worse candidate gets through, all readings of worse ones
failed, each at a level of its own; so the chance that it ever happens is at most the sum of all
levels, alpha, however candidates are thought of, and however many (alpha recycling: Burman,
Sonesson and Guilbaud 2009; online fallback: Tian and Ramdas 2021). A set that is read again and
again has no such bound unless its answers are rationed (Dwork et al. 2015; Blum and Hardt 2015).

**What it rests on.** Rows are drawn by a keyed hash, so they are a random sample of their windows,
and the mean over them has its textbook error however rows depend on one another. The bound is
Student's, with Hall's correction where a few large losses skew the mean; losses so rare that the
sample holds none are beyond it.

Promise: no level is spent where no row is read, and nothing passes on rows that were read before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import LOSS_NAME, figure, row_losses, student_quantile
from ratchet.gate.judge import GateInput
from ratchet.gate.trusted import mean_and_bound, no_slice_worse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition
    from ratchet.contracts.sealed import Sealed

    Floats = NDArray[np.float64]

CHECK = "gate.sealed"


@dataclass(frozen=True)
class Account:
    """The spend ledger: what decisions have read so far, and what that has cost.

    Attributes:
        readings: how many decisions read sealed rows.
        failed: how many of them did not confirm their candidate; it decides the next level.
        rows: how many were read.
        read_before: tick; sealed rows of earlier events are spent.
    """

    readings: int = 0
    failed: int = 0
    rows: int = 0
    read_before: int | None = None

    def level(self, alpha: float) -> float:
        """The chance of letting a worse candidate through that the next reading may take."""
        return alpha * 6 / (math.pi * (self.failed + 1)) ** 2

    def left(self, alpha: float) -> float:
        """What is left of alpha for all readings to come; more than 0."""
        spent = math.fsum(1 / i**2 for i in range(1, self.failed + 1))
        return alpha * (1 - spent * 6 / math.pi**2)

    def after(self, *, passed: bool, rows: int, read_before: int | None = None) -> Account:
        """The account after one more reading of this many rows."""
        return replace(
            self,
            readings=self.readings + 1,
            failed=self.failed + (not passed),
            rows=self.rows + rows,
            read_before=self.read_before if read_before is None else read_before,
        )

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict, as decisions keep it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Account:
        """The inverse of :meth:`as_json`; unknown keys of newer releases are ignored."""
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in value.items() if k in known})


@dataclass(frozen=True, eq=False)
class SealedInput:
    """Sealed rows of the held-out windows that no decision has read, and two models' scores.

    Attributes:
        y: shape (rows,): class index or target.
        candidate: scores as :func:`ratchet.contracts.score.predict` gives them.
        champion: the same of the champion; None when there is none.
        held: what the gate judged on: the other rows of the same windows. They say beforehand how
            many rows a reading needs.
        spent: how many sealed rows of these windows were read before.
        read_before: tick at which the held-out windows end.
        fresh_from: the first window whose rows are still to come, for the sentence.
        slices: column to its values, shape (rows,).
        gains: feature to its share of the gain in the champion and in the candidate; empty without
            a champion.
    """

    y: Floats
    candidate: Floats
    champion: Floats | None
    held: GateInput
    spent: int
    read_before: int
    fresh_from: str
    slices: Mapping[str, Any] = field(default_factory=dict)
    gains: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class Reading(NamedTuple):
    """What the sealed rows showed, if they were read, and the account from now on."""

    evidence: list[Evidence]
    account: Account


def judge_sealed(request: SealedInput, account: Account, definition: Definition) -> Reading:
    """``gate.sealed``, and ``gate.sealed_slices`` where there are slices and a champion.

    Where too few unread rows are there, or so few that the reading would more likely fail than not
    if the candidate is as good as it looks (or a bound at this level could not be believed), the
    gate is closed: nothing is read, nothing is spent,
    and the evidence says which labels it waits for. Without a champion the candidate must beat a
    constant score; where it leans on a feature far more than the champion did, which is how leaks
    and shortcuts look, it must be shown to be better. No evidence at all where the pipeline
    declares no ``[sealed]``.
    """
    part = definition.sealed
    if part is None:
        return Reading([], account)
    held = request.held
    before, after = _losses(held.y, held.candidate, held.champion, held, definition)
    leaning = _leaning(request.gains, part)
    strict = held.champion is None or bool(leaning)
    margin = 0.0 if strict else part.margin * float(before.mean())
    level = account.level(part.alpha)
    needed = _needed(before - after, margin, level, part.min_rows)
    if len(request.y) < needed:
        return Reading([_closed(request, account, part, needed, leaning)], account)
    losses = _losses(request.y, request.candidate, request.champion, held, definition)
    found = [_read(*losses, margin, account, definition)]
    if request.champion is not None and definition.gate.slices:
        found.append(no_slice_worse("sealed", request.slices, *losses, definition))
    passed = all(e.verdict.lets_through for e in found)
    account = account.after(passed=passed, rows=len(request.y), read_before=request.read_before)
    said = f"{leaning}; reading {account.readings}, {_spent(level, account, part, passed=passed)}"
    details = {**found[0].details, "account": account.as_json()}
    found[0] = replace(found[0], arithmetic=found[0].arithmetic + said, details=details)
    return Reading(found, account)


def lower_bound(values: Floats, level: float) -> float:
    """One-sided lower bound of a mean of independent rows, shape (rows,); level: of missing it.

    Student's t. Where the rows may have a long tail of losses, which makes that too sure of itself,
    it is taken back through Hall's cubic transformation (Hall 1992). A sample shows less skewness
    than there is, so it is taken a quarter larger and two standard errors (of a normal sample's)
    further. A long tail of gains is no reason to be less careful.
    """
    import numpy as np

    n, spread = len(values), float(values.std(ddof=1))
    steps = student_quantile(1 - level, n - 1)
    if spread > 0:
        skew = 1.25 * float((((values - values.mean()) / spread) ** 3).mean())
        skew = (skew - 2 * math.sqrt(6 / n)) / math.sqrt(n)
        if skew < 0:
            steps = 3 / skew * (float(np.cbrt(1 + skew * (steps - skew / 6))) - 1)
    return float(values.mean()) - steps * spread / math.sqrt(n)


def _losses(
    y: Floats, candidate: Floats, champion: Floats | None, held: GateInput, definition: Definition
) -> tuple[Floats, Floats]:
    """Losses of the champion (or of the constant score that stands for it) and of the candidate."""
    import numpy as np

    objective = definition.label.objective
    if champion is None:
        champion = np.broadcast_to(np.asarray(held.baseline, float), candidate.shape)
    return row_losses(objective, y, champion), row_losses(objective, y, candidate)


def trustworthy_rows(level: float) -> int:
    """Rows from which a bound at this level can be believed: four times its z to the fourth power.

    Far out in the tail the shape of the rows counts again, even after the skewness was allowed for:
    the relative error grows like z^4 / rows (moderate deviations; Petrov 1975, chapter 8).
    """
    return math.ceil(4 * NormalDist().inv_cdf(1 - level) ** 4)


def _needed(gains: Floats, margin: float, level: float, least: int) -> int:
    """Rows with which a reading passes in one of two cases, if the other rows are right."""
    towards = margin + max(float(gains.mean()), 0.0)
    if towards <= 0:
        return 2**31
    rows = (NormalDist().inv_cdf(1 - level) * float(gains.std()) / towards) ** 2
    return max(least, trustworthy_rows(level), math.ceil(rows))


def _leaning(gains: Mapping[str, tuple[float, float]], part: Sealed) -> str:
    """Which feature carries far more of the gain than it did, and what follows; or nothing."""
    jumps = {name: after - before for name, (before, after) in gains.items()}
    most = max(jumps, key=lambda name: jumps[name], default="")
    if not jumps or jumps[most] <= part.gain_jump:
        return ""
    before, after = gains[most]
    return (
        f"; {most} carries {after:.2f} of the gain, {before:.2f} in the champion, which is more "
        f"than {part.gain_jump:g} further: so it must be shown to be better"
    )


def _closed(
    request: SealedInput, account: Account, part: Sealed, needed: int, leaning: str
) -> Evidence:
    rows = len(request.y)
    spent = f" ({request.spent:,} others of these windows are spent)" if request.spent else ""
    more = f"{needed:,} are needed" if needed < 2**31 else "no number would do: no gain to confirm"
    text = (
        f"closed: {rows:,} sealed rows that no decision has read{spent}, {more} at level "
        f"{account.level(part.alpha):.2g}; it opens with labels of rows from {request.fresh_from} "
        "on. Where no holdout ever has as many: a larger sealed.share or train.holdout_windows"
        f"{leaning}"
    )
    details = {"account": account.as_json(), "needed": needed, "spent": request.spent}
    return Evidence(CHECK, Verdict.INCONCLUSIVE, text, float(rows), float(needed), details)


def _read(
    before: Floats, after: Floats, margin: float, account: Account, definition: Definition
) -> Evidence:
    assert definition.sealed is not None  # noqa: S101  the caller asked
    level, gains = account.level(definition.sealed.alpha), before - after
    allowed = -margin or 0.0  # never "-0.0000"
    lower = lower_bound(gains, level)
    gain, half = mean_and_bound(gains, definition.gate.alpha)
    if lower > allowed:
        verdict, said = Verdict.PASS, f"lower bound {figure(lower)} > {figure(allowed)}"
    elif gain + half < allowed:
        verdict = Verdict.BLOCK
        said = f"upper bound {figure(gain + half)} < {figure(allowed)}: worse"
    else:
        verdict, said = Verdict.INCONCLUSIVE, f"lower bound {figure(lower)} <= {figure(allowed)}"
    text = (
        f"{LOSS_NAME[definition.label.objective]} on {len(gains):,} sealed rows "
        f"{figure(before.mean())} -> {figure(after.mean())}, improvement {figure(gain)}, {said}"
    )
    return Evidence(CHECK, verdict, text, lower, allowed, {"level": level, "rows": len(gains)})


def _spent(level: float, account: Account, part: Sealed, *, passed: bool) -> str:
    what = "confirmed, so it gives back its" if passed else "not confirmed, so it costs its"
    return f"{what} level {level:.4f}: {account.left(part.alpha):.4f} of alpha {part.alpha:g} left"
