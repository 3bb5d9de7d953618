"""How often does a gate promote what is no better, over a pipeline's life; and how soon what is?

    make bench-gate        # 5 minutes on one core; prints the tables of docs/reference/gates.md

A life is 104 windows of 14 blocks. A block's gain (the champion's loss less the candidate's) is
drawn with standard deviation 1, in ways that are unkind to a test. The sequential test runs on all
lives at once with the arithmetic of :func:`ratchet.contracts.betting.bet` (a test compares them).
Beside it the paired block bootstrap of each window by itself, at the same alpha.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ratchet.contracts.betting import (
    BETS,
    CAP,
    DECAY,
    FEWEST,
    LEAN_AT_FIRST,
    LEAN_BLOCKS,
    LEAST_LEAN,
    LONGEST,
    MEMORY,
    MOST_LEAN,
    SHARE,
)
from ratchet.gate.bootstrap import bounds, draw
from ratchet.gate.sequential import Comparison

Floats = NDArray[np.float64]
Shape = tuple[int, int, int]  # lives, windows, blocks
Draw = Callable[[np.random.Generator, Shape], Floats]
Gate = Callable[[Floats], Floats]  # gains to the window that promotes (from 1), or infinity

ALPHA, WINDOWS, BLOCKS = 0.05, 104, 14
SEED = 20261126  # not that on which the bets were chosen


def normal(random: np.random.Generator, shape: Shape) -> Floats:
    """Independent, normal."""
    return random.normal(size=shape)


def heavy(random: np.random.Generator, shape: Shape) -> Floats:
    """Student's t with 3 degrees of freedom: no third moment."""
    return random.standard_t(3, size=shape) / math.sqrt(3)


def disasters(sigma: float) -> Draw:
    """Mostly a little better, seldom much worse: minus a lognormal, in the means of blocks."""
    scale = math.sqrt((math.exp(sigma**2) - 1) * math.exp(sigma**2))

    def sample(random: np.random.Generator, shape: Shape) -> Floats:
        return (math.exp(sigma**2 / 2) - random.lognormal(0, sigma, shape)) / scale

    return sample


def leaning(rho: float) -> Draw:
    """Neighbouring blocks correlated: a first-order autoregression."""

    def sample(random: np.random.Generator, shape: Shape) -> Floats:
        out = random.normal(size=(shape[0], shape[1] * shape[2]))
        for i in range(1, out.shape[1]):
            out[:, i] = rho * out[:, i - 1] + math.sqrt(1 - rho**2) * out[:, i]
        return out.reshape(shape)

    return sample


def shared(random: np.random.Generator, shape: Shape) -> Floats:
    """Each window has a shock of its own, with a fifth of a block's standard deviation."""
    return random.normal(size=shape) + 0.2 * random.normal(size=(*shape[:2], 1))


def changing(random: np.random.Generator, shape: Shape) -> Floats:
    """Quiet windows and loud ones: the scale of a window is lognormal."""
    return random.normal(size=shape) * np.exp(0.7 * random.normal(size=(*shape[:2], 1)))


NO_BETTER: dict[str, tuple[Draw, float]] = {
    "independent": (normal, 0.0),
    "heavy tails (t, 3 degrees)": (heavy, 0.0),
    "disasters (skewness -1.8)": (disasters(0.5), 0.0),
    "rare disasters (skewness -6.2)": (disasters(1.0), 0.0),
    "neighbours correlated 0.3": (leaning(0.3), 0.0),
    "neighbours correlated 0.5": (leaning(0.5), 0.0),
    "a shock each window": (shared, 0.0),
    "scale changes each window": (changing, 0.0),
    "slightly worse": (normal, -0.1),
    "slightly worse, correlated 0.3": (leaning(0.3), -0.1),
    "slightly worse, heavy tails": (heavy, -0.1),
}


def evidence(gains: Floats) -> Floats:
    """Capital after each window, shape (lives, windows): :func:`bet` on every life at once."""
    lives, windows, n = gains.shape
    capital = np.full((lives, len(BETS)), 1 / len(BETS))
    variance, covariance, seen = np.zeros(lives), np.zeros(lives), 0
    out = np.empty((lives, windows))
    count = np.arange(n)
    for t in range(windows):
        x = gains[:, t]
        measured = np.divide(covariance, variance, np.zeros(lives), where=variance > 0)
        weight = min(seen, LONGEST)
        rho = (LEAN_BLOCKS * LEAN_AT_FIRST + weight * measured) / (LEAN_BLOCKS + weight)
        rho = np.clip(rho, LEAST_LEAN, MOST_LEAN)
        before = np.cumsum(x, axis=1) - x, np.cumsum(x**2, axis=1) - x**2
        scatter = np.maximum(before[1] - before[0] ** 2 / np.maximum(count, 1), 0.0)
        held = min(seen, MEMORY)
        scale = held * variance[:, None] + scatter
        scale = np.sqrt(scale / np.maximum(held + np.maximum(count - 1, 0), 1))
        known = (seen + count >= FEWEST) & (scale > 0)
        units = np.where(known, np.minimum(x / np.where(known, scale, 1.0), CAP), 0.0)
        factors = np.maximum(1 + np.multiply.outer(np.array(BETS), units), 0.0)
        profit = factors.prod(axis=2).T ** ((1 - rho) / (1 + rho))[:, None]
        capital = capital * profit
        capital = (1 - SHARE) * capital + SHARE * capital.mean(axis=1, keepdims=True)
        capital = np.minimum(capital, 1e100)
        out[:, t] = capital.sum(axis=1)
        centred = x - x.mean(axis=1, keepdims=True)
        new, spread = max(n / (seen + n), 1 - DECAY), (centred**2).sum(axis=1) / (n - 1)
        neighbours = (centred[:, 1:] * centred[:, :-1]).mean(axis=1) + spread / n
        variance = variance + new * (spread - variance)
        covariance = covariance + new * (neighbours - covariance)
        seen += n
    return out


def first(hits: NDArray[np.bool_]) -> Floats:
    """The first window that is true, from 1; infinity where none is. ``hits``: (lives, windows)."""
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1.0, math.inf)


def sequential(gains: Floats) -> Floats:
    """When the gate promotes: the test is passed, and the window's own mean is positive."""
    passed = evidence(gains) >= 1 / Comparison(1).level(ALPHA)
    return first(passed & (gains.mean(axis=2) > 0))


def bootstrap(gains: Floats) -> Floats:
    """When the lower bound of some window by itself lies above 0."""
    events = np.arange(gains.shape[2])
    lower = [
        [bounds(x, draw(events, len(x), 400, (t,)), ALPHA).lower > 0 for t, x in enumerate(life)]
        for life in gains
    ]
    return first(np.array(lower))


def ever(gate: Gate, sample: Draw, mean: float, lives: int, windows: int = WINDOWS) -> float:
    """Share of lives in which anything was ever promoted."""
    random = np.random.default_rng(SEED)
    parts = [min(500, lives - at) for at in range(0, lives, 500)]
    shape = (windows, BLOCKS)
    found = [np.isfinite(gate(mean + sample(random, (n, *shape)))).sum() for n in parts]
    return float(sum(found)) / lives


def wait(gate: Gate, sample: Draw, strength: float, lives: int) -> float:
    """Median windows until a candidate is promoted that is better from the first one on."""
    random = np.random.default_rng(SEED + 1)
    gains = strength / math.sqrt(BLOCKS) + sample(random, (lives, WINDOWS, BLOCKS))
    return float(np.median(gate(gains)))


def coin(gate: Gate, strength: float, lives: int) -> tuple[float, float]:
    """Each window's candidate is better or worse by the toss of a coin.

    Returns the shares of lives whose first promotion is of a better and of a worse one.
    """
    random = np.random.default_rng(SEED + 2)
    signs = random.choice([-1.0, 1.0], (lives, WINDOWS))
    gains = normal(random, (lives, WINDOWS, BLOCKS))
    at = gate(gains + signs[:, :, None] * strength / math.sqrt(BLOCKS))
    promoted = np.isfinite(at)
    sign = signs[promoted, at[promoted].astype(int) - 1]
    return float((sign > 0).sum()) / lives, float((sign < 0).sum()) / lives


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="See the module's docstring.")
    parser.add_argument("--lives", type=int, default=10_000)
    lives = parser.parse_args().lives
    few = max(lives // 50, 1)
    print(f"Ever promoted in {WINDOWS} windows, alpha {ALPHA}; {lives:,} lives ({few:,})\n")
    print("| candidates that are no better | sequential | bootstrap a window |\n|---|---|---|")
    for name, (sample, mean) in NO_BETTER.items():
        ours, theirs = ever(sequential, sample, mean, lives), ever(bootstrap, sample, mean, few)
        print(f"| {name} | {ours:.4f} | {theirs:.3f} |", flush=True)
    print("\nEvery candidate a coin toss: first promotion of a better / of a worse one\n")
    print("| standard errors of a window | sequential | bootstrap a window |\n|---|---|---|")
    for strength in (0.5, 1.0, 2.0):
        pairs = coin(sequential, strength, lives // 10), coin(bootstrap, strength, few)
        shown = " | ".join(f"{good:.3f} / {bad:.3f}" for good, bad in pairs)
        print(f"| +-{strength} | {shown} |", flush=True)
    print("\nMedian windows until a better candidate is promoted\n")
    print("| standard errors of a window | sequential | correlated 0.3 | bootstrap a window |")
    print("|---|---|---|---|")
    for strength in (1.0, 1.5, 2.0, 3.0, 5.0, 8.0):
        cells = [wait(sequential, s, strength, lives // 10) for s in (normal, leaning(0.3))]
        cells.append(wait(bootstrap, normal, strength, few))
        print(f"| {strength} | " + " | ".join(f"{c:.0f}" for c in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
