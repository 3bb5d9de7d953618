"""The drawings of a decision's page, as inline SVG from plain functions.

>>> reliability([(0.2, 0.25, 100)], [], "score", "frequency").startswith("<figure>")
True

Each scales to the width it is given, takes its colours from the page, has a title and a description
for those who cannot see it, and comes with its numbers as a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ratchet.register.canvas import (
    LEFT,
    RIGHT,
    Axis,
    across,
    axis_of,
    drawing,
    figure,
    key,
    model_mark,
    outcome_mark,
    upward,
)
from ratchet.register.markup import folded, number, shown, table

Bin = tuple[float, float, int]  # mean score, mean outcome, rows
OUTCOMES = ("promoted", "rolled back", "held", "blocked", "error", "no_data")


@dataclass(frozen=True)
class Point:
    """One past cycle: its window, what it concluded, and both losses on its held-out rows."""

    window: str
    outcome: str
    champion: float | None
    candidate: float | None
    new_champion: int | None = None


@dataclass(frozen=True)
class Slice:
    """One judged group: its mean improvement, the lower bound, and how much loss is allowed."""

    name: str
    rows: int
    improvement: float
    lower: float | None
    margin: float

    @property
    def room(self) -> float:
        """How far the bound lies above what is allowed; negative where the group is weak."""
        return -math.inf if self.lower is None else self.lower + self.margin


def reliability(candidate: Sequence[Bin], champion: Sequence[Bin], score: str, outcome: str) -> str:
    """Mean outcome against mean score of both models; on the dotted line the two agree.

    Args:
        candidate, champion: bins as ``gate.calibration`` keeps them; the champion's may be empty.
        score, outcome: the names of the axes; an outcome called ``frequency`` gets the 95 % range
            of a binomial one.
    """
    models = [(n, b) for n, b in (("champion", champion), ("candidate", candidate)) if b]
    values = [v for _, bins in models for one in bins for v in one[:2]]
    if not values:
        return ""
    x, y = axis_of(values, LEFT, RIGHT), axis_of(values, 226, 8)
    even = f'<path class="even" stroke-dasharray="2 4" d="M{x.start} {y.start}L{x.end} {y.end}"/>'
    lines = "".join(_bins(name, bins, x, y, outcome == "frequency") for name, bins in models)
    rows = [
        (name, number(s), number(o), number(n))
        for name, bins in reversed(models)
        for s, o, n in bins
    ]
    title = f"Reliability diagram: {outcome} against {score} in {len(models[-1][1])} bins a model"
    inner = upward(y, outcome) + across(x, y.start, score) + even + lines
    return figure(
        drawing(
            "reliability", 256, title, f"On the dotted line they agree. {_gaps(models)}", inner
        ),
        f"<strong>Reliability</strong> on the held-out rows, in bins of about equally many: on the "
        f"dotted line {score} and {outcome} agree.",
        key(*(name for name, _ in models)),
        folded(
            "The numbers",
            table("Each bin's means", ("model", score, outcome, "rows"), rows),
        ),
    )


def _gaps(models: Sequence[tuple[str, Sequence[Bin]]]) -> str:
    """The largest distance from the line, for those who cannot see it."""
    said = [f"{name} {max(abs(s - o) for s, o, _ in bins):.3f}" for name, bins in models]
    return f"Largest distance from it: {', '.join(said)}."


def _bins(name: str, bins: Sequence[Bin], x: Axis, y: Axis, noisy: bool) -> str:
    bars = ""
    for s, o, n in bins if noisy else ():
        half = 1.96 * math.sqrt(max(o * (1 - o), 0.0) / max(n, 1))
        bars += f'<path class="{name} bar" d="M{x.at(s)} {y.at(o - half)}V{y.at(o + half)}"/>'
    return bars + _line(name, [(x.at(s), y.at(o)) for s, o, _ in bins])


def _line(name: str, places: Sequence[tuple[float, float]]) -> str:
    path = "L".join(f"{x} {y}" for x, y in places)
    line = f'<path class="{name}" stroke-width="1.5" d="M{path}"/>' if path else ""
    return line + "".join(model_mark(name, x, y) for x, y in places)


def losses(points: Sequence[Point], loss: str) -> str:
    """Both models' loss over the past windows, what each cycle concluded, and each new champion.

    Prequential: each loss is on rows that neither model had learned from by then (Dawid 1984).

    Args:
        points: oldest first; the last is this decision.
        loss: the name of the loss.
    """
    measured = [v for p in points for v in (p.champion, p.candidate) if v is not None]
    if len(points) < 2 or not measured:
        return ""
    axis = Axis(-0.5, len(points) - 0.5, LEFT, RIGHT)  # by order: a window may be decided twice
    x = [axis.at(i) for i in range(len(points))]
    y = axis_of(measured, 176, 24)
    placed = list(zip(x, points, strict=True))
    moves = [(at, p) for at, p in placed if p.new_champion is not None]
    champion = [(at, y.at(p.champion)) for at, p in placed if p.champion is not None]
    candidate = [(at, y.at(p.candidate)) for at, p in placed if p.candidate is not None]
    inner = (
        upward(y, loss)
        + "".join(_move(at, p, i % 2) for i, (at, p) in enumerate(moves))
        + _line("champion", champion)
        + "".join(model_mark("candidate", *place) for place in candidate)
        + "".join(outcome_mark(p.outcome, at, 190) for at, p in placed)
        + _ends(points)
    )
    seen = [name for name in OUTCOMES if any(p.outcome == name for p in points)]
    counts = ", ".join(f"{sum(p.outcome == name for p in points)} {name}" for name in seen)
    title = f"{loss} of champion and candidate over {len(points)} cycles: {counts}"
    return figure(
        drawing("losses", 216, title, "Lower is better.", inner),
        f"<strong>Prequential {loss}</strong> on each cycle's held-out rows, before either model "
        "learned from them: lower is better. Dotted lines are new champions; below, what each "
        "cycle concluded.",
        key("champion", "candidate", *seen),
        folded("The numbers", _cycles(points, loss)),
    )


def _cycles(points: Sequence[Point], loss: str) -> str:
    rows = [
        (
            shown(p.window, 30),
            shown(p.outcome.replace("_", " "), 12),
            number(p.champion),
            number(p.candidate),
            f"version {p.new_champion}" if p.new_champion is not None else "",
        )
        for p in reversed(points)
    ]
    head = ("window", "outcome", "champion", "candidate", "new champion")
    return table(f"{loss} of each cycle, newest first", head, rows)


def _move(at: float, point: Point, step: int) -> str:
    label = f'<text x="{at}" y="{9 + 10 * step}" text-anchor="middle">v{point.new_champion}</text>'
    return f'<path class="even" stroke-dasharray="1 3" d="M{at} {12 + 10 * step}V184"/>{label}'


def _ends(points: Sequence[Point]) -> str:
    ends = ((points[0], "start", LEFT), (points[-1], "end", RIGHT))
    return "".join(
        f'<text class="soft" x="{at}" y="211" text-anchor="{anchor}">{shown(p.window, 20)}</text>'
        for p, anchor, at in ends
    )


def slices(groups: Sequence[Slice], loss: str) -> str:
    """Each group's improvement with its lower bound, against what is allowed; weakest first."""
    if not groups:
        return ""
    known = [v for g in groups for v in (g.improvement, g.lower, -g.margin) if v is not None]
    x = axis_of([0.0, *known], 128, RIGHT)
    bottom = 8 + 18 * len(groups)
    zero = f'<path class="even" d="M{x.at(0)} 2V{bottom}"/>'
    inner = across(x, bottom, f"improvement in {loss}") + zero
    inner += "".join(_group(group, x, 15 + 18 * i) for i, group in enumerate(groups))
    rows = [
        (shown(g.name, 60), *map(number, (g.rows, g.improvement, g.lower, -g.margin)))
        for g in groups
    ]
    head = ("group", "rows", "improvement", "lower bound", "allowed")
    weak = sum(g.room < 0 for g in groups)
    title = f"Improvement in {loss} of {len(groups)} groups, {weak} not shown to be no worse"
    about = "Each bar reaches down to the lower bound; the tick is the least that is allowed."
    return figure(
        drawing("slices", bottom + 32, title, about, inner),
        "<strong>Slices</strong>, weakest first: right of the line the candidate is better. Each "
        "bar reaches down to the lower bound, which may not pass the tick, the margin.",
        "",
        folded("The numbers", table("Groups, weakest first", head, rows)),
    )


def _group(group: Slice, x: Axis, y: float) -> str:
    kind = "stop" if group.room < 0 else "good"
    low = x.low if group.lower is None else group.lower
    middle = x.at(group.improvement)
    return (
        f'<text x="122" y="{y}" text-anchor="end">{shown(group.name, 20)}</text>'
        f'<path class="{kind}" stroke-width="2" d="M{x.at(low)} {y - 4}H{middle}"/>'
        f'<circle class="{kind}" cx="{middle}" cy="{y - 4}" r="3"/>'
        f'<path class="even" d="M{x.at(-group.margin)} {y - 10}v12"/>'
    )
