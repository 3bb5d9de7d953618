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
  (1 - p + p ln p) / (p ln(p)^2) (Vovk & Wang 2021), for attacks that alter no row, but add some.

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

TIMES = (2.0, 4.0, 10.0, 40.0)  # the allowed rate, that a bad source may exceed it
LARGEST = 0.6  # rate that is bet on
SMALLEST_P = 1e-300
CHECK = "account"


@dataclass(frozen=True)
class Facts:
    """What one window showed of a source.

    Attributes:
        trials: rows that were checked against the truth.
        failures: how many of them differed.
        p_value: of the comparison with the control; None where there was none.
    """

    trials: int
    failures: int
    p_value: float | None = None


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
        rates: one bet for each error rate.
        comparisons: the bet on p-values.
    """

    windows: int = 0
    last: int | None = None
    trials: int = 0
    failures: int = 0
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
            rates=rates,
            comparisons=self.comparisons.after(window, part, gain),
        )

    @property
    def log_e(self) -> float:
        """Logarithm of the e-value: what 1 staked against the source's honesty is worth now."""
        kept = -math.log(self.windows + 1)  # the part that is not yet staked
        checked = -math.log(len(self.rates)) + _log_sum([bet.log_s for bet in self.rates])
        both = _log_add(checked, self.comparisons.log_s) - math.log(2)
        return _log_add(both, kept)

    @property
    def since(self) -> int | None:
        """The window in which the source seems to have turned, by its strongest bet."""
        best = max((*self.rates, self.comparisons), key=lambda bet: bet.log_max)
        return best.since

    @property
    def trust(self) -> float:
        """From 1 (nothing speaks against the source) to 0: 1 / (1 + max(e - 1, 0))."""
        return 1.0 / (1.0 + max(math.expm1(min(self.log_e, 700.0)), 0.0))

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict."""

        def bet(b: Bet) -> list[float | int | None]:
            return [None if b.log_s == -math.inf else b.log_s, b.log_max, b.since]

        return {
            "windows": self.windows,
            "last": self.last,
            "trials": self.trials,
            "failures": self.failures,
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
            tuple(bet(b) for b in value["rates"]),
            bet(value["comparisons"]),
        )


def check_account(source: str, account: Account, alpha: float, since: str = "") -> Evidence:
    """BLOCK once the e-value reaches 1 / alpha.

    Args:
        source: its name.
        account: after the newest window.
        alpha: chance that an honest source is ever accused (``shield.lifetime_alpha``).
        since: name of the window :attr:`Account.since`.
    """
    limit = 1 / alpha
    alarm = account.log_e >= math.log(limit)
    e_value = math.exp(min(account.log_e, 700.0))
    text = (
        f"source {source}: {account.failures:,} of {account.trials:,} checked rows differed in "
        f"{account.windows} windows; e-value {e_value:,.3g} {'>=' if alarm else '<'} {limit:,.0f}"
    )
    if alarm:
        text += f": alarm, since {since}" if since else ": alarm"
    details = {"trust": round(account.trust, 6), "since": account.since}
    return Evidence(CHECK, Verdict.BLOCK if alarm else Verdict.PASS, text, e_value, limit, details)


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
