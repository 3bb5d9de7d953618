"""The lifetime account of a source: slow attacks add up to an alarm, honesty never does.

>>> account = Account()
>>> for window in range(8):
...     account = account.after(window, Facts(1000, 20, None), allowed=0.005)
>>> account.log_e > math.log(1000), account.since
(True, 0)

A per-batch threshold never sees an attack that stays below it. An e-process does: a bet against
"this source is honest" whose stake, if it is, is expected never to grow; so the chance that it ever
grows 1/alpha-fold, over any number of windows, is at most alpha (Ville 1939; Ramdas et al. 2023,
*Game-theoretic statistics and safe anytime-valid inference*). Two bets are held at equal parts:

- on rows that were checked against the truth: the likelihood ratio of several higher error rates
  against the allowed one. For every true rate up to the allowed one its expectation is at most 1,
  because it rises with each failure.
- on the p-values of the comparisons with the control, by the calibrator
  (1 - p + p ln p) / (p ln(p)^2) (Vovk & Wang 2021, *E-values: calibration, combination and
  applications*), for attacks that alter no row, but add some.

Their mean is a valid bet however the two depend on one another. Honest means: each checked row
differs with a chance of at most the allowed rate whatever happened before, and each p-value is
valid given the past; errors that come in clumps need a higher allowed rate.

Only windows that passed are entered: a batch that was blocked did no harm, and leaving such windows
out can only lower the e-value.

A source can turn bad after a long honest life, and a plain product would first have to win back
what honesty cost it. So the bet starts anew in each window t with a part 1/((t+1)(t+2)) of the
stake (a mixture over change points: Shin, Ramdas & Rinaldo 2023, *E-detectors*). The state has one
size whatever the number of windows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.lineage import canonical_json

TIMES = (2.0, 4.0, 10.0, 40.0)  # the allowed rate, that a bad source may exceed it
LARGEST = 0.6  # rate that is bet on
# Tests on large samples have no digits beyond this; and one comparison blocks a batch, but never
# accuses a source for life.
SMALLEST_P = 1e-5
CHECK = "shield.account"


@dataclass(frozen=True)
class Facts:
    """What one window showed of a source.

    Attributes:
        trials: rows that were checked against the truth.
        failures: how many of them differed.
        p_value: of the comparison with the control; None where there was none.

    Raises:
        ValueError: counts or p-value that cannot be. A NaN would silence the account for ever.
    """

    trials: int
    failures: int
    p_value: float | None = None

    def __post_init__(self) -> None:
        valid = self.p_value is None or 0 <= self.p_value <= 1
        if not (0 <= self.failures <= self.trials and valid):
            raise ValueError(f"{self}: expected 0 <= failures <= trials and p_value in [0, 1]")


@dataclass(frozen=True)
class Bet:
    """One running bet. ``log_s``: logarithm of what the started parts have become; ``log_max``: of
    the best single start, which names the change point ``since`` (a window, None: none in sight).
    """

    log_s: float = -math.inf
    log_max: float = 0.0
    since: int | None = None

    def after(self, window: int, part: float, log_gain: float) -> Bet:
        """The bet once a fresh part was staked and the window's gain came in."""
        log_s = _log_add(self.log_s, math.log(part)) + log_gain
        best = max(self.log_max, 0.0) + log_gain
        since = self.since if self.log_max > 0 else window
        return Bet(log_s, max(best, 0.0), since if best > 0 else None)


@dataclass(frozen=True)
class Account:
    """A source's account after some windows.

    Attributes:
        windows: how many windows were entered.
        last: index of the newest one; None before the first.
        trials, failures: over all windows.
        expected: the most failures to expect of an honest source in these trials.
        rates: one bet for each error rate.
        comparisons: the bet on p-values.
    """

    windows: int = 0
    last: int | None = None
    trials: int = 0
    failures: int = 0
    expected: float = 0.0
    rates: tuple[Bet, ...] = tuple(Bet() for _ in TIMES)
    comparisons: Bet = Bet()

    def after(self, window: int, facts: Facts, allowed: float) -> Account:
        """The account once a window is entered; a window that was entered before changes nothing.

        Args:
            window: its index.
            facts: what it showed.
            allowed: error rate of an honest source (``shield.max_mismatch``).
        """
        if self.last is not None and window <= self.last:
            return self
        part = 1 / ((self.windows + 1) * (self.windows + 2))
        rates = tuple(
            bet.after(window, part, _log_ratio(facts, min(times * allowed, LARGEST), allowed))
            for bet, times in zip(self.rates, TIMES, strict=True)
        )
        gain = 0.0 if facts.p_value is None else _log_calibrated(facts.p_value)
        return replace(
            self,
            windows=self.windows + 1,
            last=window,
            trials=self.trials + facts.trials,
            failures=self.failures + facts.failures,
            expected=self.expected + facts.trials * allowed,
            rates=rates,
            comparisons=self.comparisons.after(window, part, gain),
        )

    @property
    def log_e(self) -> float:
        """Logarithm of the e-value: what 1 staked against the source's honesty is worth now."""
        kept = -math.log(self.windows + 1)  # the part that is not yet staked
        both = _log_add(self._checked, self.comparisons.log_s) - math.log(2)
        return _log_add(both, kept)

    @property
    def _checked(self) -> float:
        return _log_sum([bet.log_s for bet in self.rates]) - math.log(len(self.rates))

    @property
    def by_comparisons(self) -> bool:
        """Whether more of the e-value comes from the comparisons than from checked rows."""
        return self.comparisons.log_s > self._checked

    @property
    def since(self) -> int | None:
        """The window in which the source seems to have turned, by its strongest bet."""
        best = max((*self.rates, self.comparisons), key=lambda bet: bet.log_max)
        return best.since

    @property
    def trust(self) -> float:
        """From 0 to 1: 1 / (1 + e), the posterior chance of honesty if both were as likely before.

        One half for a source of which nothing is known; honest windows raise it, each failure
        lowers it, and at an alarm it is below ``lifetime_alpha``.
        """
        return 1.0 / (1.0 + math.exp(min(self.log_e, 700.0)))

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict."""

        def bet(b: Bet) -> list[float | int | None]:
            return [None if b.log_s == -math.inf else b.log_s, b.log_max, b.since]

        return {
            "windows": self.windows,
            "last": self.last,
            "trials": self.trials,
            "failures": self.failures,
            "expected": self.expected,
            "rates": [bet(b) for b in self.rates],
            "comparisons": bet(self.comparisons),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Account:
        """The inverse of :meth:`as_json`."""

        def bet(b: list[Any]) -> Bet:
            return Bet(-math.inf if b[0] is None else float(b[0]), float(b[1]), b[2])

        return cls(
            value["windows"],
            value["last"],
            value["trials"],
            value["failures"],
            value["expected"],
            tuple(bet(b) for b in value["rates"]),
            bet(value["comparisons"]),
        )


def account_json(account: Account) -> str:
    """The account's state as one line of JSON."""
    return canonical_json(account.as_json())


def check_account(source: str, account: Account, alpha: float, since: str = "") -> Evidence:
    """BLOCK while the e-value is at or above 1 / alpha.

    What was honest since lowers it again: an alarm must be acted on when it is raised.

    Args:
        source: its name.
        account: after the newest window.
        alpha: chance that an honest source is ever accused (``shield.lifetime_alpha``).
        since: name of the window :attr:`Account.since`.
    """
    limit = 1 / alpha
    alarm = account.log_e >= math.log(limit)
    e_value = math.exp(min(account.log_e, 700.0))
    sign = ">=" if alarm else "<"
    text = f"source {source}: {_counts(account)}; e-value {_plain(e_value)} {sign} {limit:,.0f}"
    if alarm:
        text += ", mostly by the comparisons: alarm" if account.by_comparisons else ": alarm"
        text += f"; since window {since}" if since else ""
    details = {"trust": round(account.trust, 6), "since": account.since}
    return Evidence(CHECK, Verdict.BLOCK if alarm else Verdict.PASS, text, e_value, limit, details)


def _counts(account: Account) -> str:
    if not account.trials:
        return f"no row could be checked in {account.windows} windows"
    share = 100 * account.expected / account.trials
    return (
        f"{account.failures:,} of {account.trials:,} checked rows differed in {account.windows} "
        f"windows, at most {account.expected:,.0f} expected ({share:.3g} %)"
    )


def _plain(value: float) -> str:
    return f"{value:,.0f}" if 10 <= value < 1e9 else f"{value:.2g}"


def _log_ratio(facts: Facts, rate: float, allowed: float) -> float:
    good = facts.trials - facts.failures
    return facts.failures * math.log(rate / allowed) + good * (
        math.log1p(-rate) - math.log1p(-allowed)
    )


def _log_calibrated(p: float) -> float:
    p = min(max(p, SMALLEST_P), 1.0)
    if p > 1 - 1e-6:
        return math.log(0.5)  # the limit at 1
    log = math.log(p)
    return math.log(1 - p + p * log) - log - 2 * math.log(-log)


def _log_add(a: float, b: float) -> float:
    low, high = min(a, b), max(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def _log_sum(values: list[float]) -> float:
    total = -math.inf
    for value in values:
        total = _log_add(total, value)
    return total
