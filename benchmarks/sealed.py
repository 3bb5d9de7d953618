"""A thousand candidates that are no better, against sealed rows and against one hold-out.

    make bench-sealed      # 2 minutes on one core; prints the tables of docs/reference/gates.md

A row's gain is the champion's loss less the candidate's, plus the margin: 0 on average is a
candidate that is worse by exactly the margin. It is drawn with standard deviation 1, in ways that
are unkind to a bound on a mean. Every candidate is taken to have passed all other checks, and every
reading that may be made is made, so the figures are of the sealed rows alone.

The seeds differ from those on which the bound was chosen.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate import disasters, heavy, normal
from ratchet.contracts.metrics import student_quantile
from ratchet.gate import Account
from ratchet.gate.bootstrap import bounds, draw
from ratchet.gate.sealed import trustworthy_rows

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]

ALPHA, ROWS, CANDIDATES, SEED = 0.05, 600, 1000, 20261127


def rare(share: float) -> Draw:
    """Noise, and in this share of rows a great loss that makes up for a small gain elsewhere."""

    def sample(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
        found = random.normal(size=shape) + math.sqrt(share / (1 - share))
        lost = random.random(shape) < share
        found[lost] -= 1 / math.sqrt(share * (1 - share))
        return found / math.sqrt(2)

    return sample


NO_BETTER: dict[str, tuple[Draw, float]] = {
    "normal": (normal, 0.0),
    "heavy tails (t, 3 degrees)": (heavy, 0.0),
    "a tail of losses (skewness -1.8)": (disasters(0.5), 0.0),
    "a long tail of losses (skewness -6.2)": (disasters(1.0), 0.0),
    "a disaster in 1 row of 100": (rare(0.01), 0.0),
    "a disaster in 1 row of 500": (rare(0.002), 0.0),
    "worse, by one standard error more": (normal, -1 / math.sqrt(ROWS)),
}


def lower_bounds(gains: Floats, level: float) -> Floats:
    """:func:`ratchet.gate.sealed.lower_bound` of each life's rows, shape (lives, rows)."""
    n = gains.shape[1]
    mean, spread = gains.mean(axis=1), gains.std(axis=1, ddof=1)
    steps = np.full(len(gains), student_quantile(1 - level, n - 1))
    skew = 1.25 * (((gains - mean[:, None]) / spread[:, None]) ** 3).mean(axis=1)
    skew = (skew - 2 * math.sqrt(6 / n)) / math.sqrt(n)
    tail = skew < 0
    a = skew[tail]
    steps[tail] = 3 / a * (np.cbrt(1 + a * (steps[tail] - a / 6)) - 1)
    return np.asarray(mean - steps * spread / math.sqrt(n), dtype=np.float64)


def ever_confirmed(sample: Draw, mean: float, lives: int, *, fresh: bool) -> float:
    """Share of lives in which the ledger ever let a candidate through, of :data:`CANDIDATES`.

    ``fresh``: each candidate comes with a window of its own, until so much is spent that a set of
    this size cannot be read any more. Else all come to one set: the first reading spends it.
    """
    random, account, through = np.random.default_rng(SEED), Account(), 0
    for _ in range(CANDIDATES if fresh else 1):
        if trustworthy_rows(account.level(ALPHA)) > ROWS:
            break  # closed for good, as long as sets stay this small
        gains = mean + sample(random, (lives - through, ROWS))
        passed = int((lower_bounds(gains, account.level(ALPHA)) > 0).sum())
        through += passed
        account = account.after(passed=False, rows=ROWS)
    return through / lives


def ever_by_bootstrap(sample: Draw, mean: float, lives: int) -> float:
    """Share of lives in which the bootstrap of one hold-out ever passed one of the candidates."""
    random = np.random.default_rng(SEED)
    blocks = draw(np.arange(ROWS), 56, 400, (SEED,))
    found = [
        any(
            bounds(mean + sample(random, (1, ROWS))[0], blocks, ALPHA).lower > 0
            for _ in range(CANDIDATES)
        )
        for _ in range(lives)
    ]
    return sum(found) / lives


def climb(lives: int) -> tuple[float, float, float]:
    """Candidates that follow the answers: labels are coins, so nothing is better than one half.

    Each candidate is the mixture of all random guesses that the hold-out has liked so far (the
    boosting attack of Blum and Hardt 2015). Returns the mean improvement in log loss that the
    hold-out shows for the last one, its true one, and the share of lives in which the bootstrap of
    that hold-out passed it.
    """
    random = np.random.default_rng(SEED + 1)
    blocks = draw(np.arange(ROWS), 56, 400, (SEED,))
    shown, true, passed = [], [], []
    for _ in range(lives):
        y = random.choice([-1.0, 1.0], ROWS)
        guesses = random.choice([-1.0, 1.0], (CANDIDATES, ROWS))
        liked = guesses[(guesses * y).mean(axis=1) > 0]
        margin = liked.sum(axis=0) / math.sqrt(len(liked))
        gains = math.log(2) - np.log1p(np.exp(-y * margin))
        elsewhere = math.log(2) - np.log1p(np.exp(-random.choice([-1.0, 1.0], ROWS) * margin))
        shown.append(gains.mean())
        true.append(elsewhere.mean())
        passed.append(bounds(gains, blocks, ALPHA).lower > 0)
    return float(np.mean(shown)), float(np.mean(true)), float(np.mean(passed))


def confirmed(strength: float, failed: int, lives: int) -> float:
    """Share of readings that confirm a candidate this many standard errors above the margin."""
    random = np.random.default_rng(SEED + 2)
    gains = strength / math.sqrt(ROWS) + normal(random, (lives, ROWS))
    level = Account(readings=failed, failed=failed).level(ALPHA)
    return float((lower_bounds(gains, level) > 0).mean())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="See the module's docstring.")
    parser.add_argument("--lives", type=int, default=10_000)
    lives = parser.parse_args().lives
    few = max(lives // 2000, 1)
    print(f"{CANDIDATES:,} candidates that are no better, alpha {ALPHA}, {ROWS} rows a set:")
    print(f"share of lives in which one gets through; {lives:,} lives, {few} of the bootstrap\n")
    print("| gains of a row | all against one set | a window each | bootstrap of one hold-out |")
    print("|---|---|---|---|")
    for name, (sample, mean) in NO_BETTER.items():
        one, each = (ever_confirmed(sample, mean, lives, fresh=fresh) for fresh in (False, True))
        theirs = ever_by_bootstrap(sample, mean, few)
        print(f"| {name} | {one:.4f} | {each:.4f} | {theirs:.3f} |", flush=True)
    shown, true, passed = climb(few)
    print("\nCandidates that follow a hold-out's answers, after 1,000 of them: improvement there")
    print(f"{shown:+.3f}, in truth {true:+.3f}; passed by its bootstrap in {passed:.0%} of lives")
    print("\nShare of readings that confirm a better candidate\n")
    print("| standard errors above the margin | first | after 3 failed | after 10 |")
    print("|---|---|---|---|")
    for strength in (2.0, 3.0, 4.0, 5.0, 6.0):
        cells = [confirmed(strength, failed, lives) for failed in (0, 3, 10)]
        print(f"| {strength:g} | " + " | ".join(f"{c:.2f}" for c in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
