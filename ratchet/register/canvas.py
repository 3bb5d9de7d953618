"""What the drawings of a decision's page share: axes, marks, keys, and the SVG around them.

>>> Axis(0.0, 1.0, 0, 100).at(0.25)
25.0
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ratchet.register.markup import shown

WIDTH = 360  # of a drawing, in its own units: about the pixels of a phone
LEFT, RIGHT = 44, WIDTH - 8


@dataclass(frozen=True)
class Axis:
    """Maps values from ``low`` to ``high`` onto ``start`` to ``end`` of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The place of a value; one beyond either end stands at that end."""
        inside = min(max(value, self.low), self.high)
        share = (inside - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, wanted: int = 5) -> list[float]:
        """Round values, about as many as wanted."""
        raw = (self.high - self.low) / wanted
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first + 1
        return [round((first + i) * step, 12) for i in range(count)]


def axis_of(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis with a little room around the values."""
    low, high = min(values), max(values)
    room = (high - low) * 0.06 or max(abs(high) * 0.1, 1e-6)
    return Axis(low - room, high + room, start, end)


def upward(axis: Axis, name: str) -> str:
    """A vertical axis: lines across the drawing, their values, and the axis' name."""
    places = [(v, axis.at(v)) for v in axis.ticks()]
    lines = "".join(
        f'<path class="axis" d="M{LEFT} {y}H{RIGHT}"/>'
        f'<text class="soft" x="{LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{v:,g}</text>'
        for v, y in places
    )
    middle = (axis.start + axis.end) / 2
    turn = f'transform="rotate(-90 9 {middle})"'
    return f'{lines}<text x="9" y="{middle}" {turn} text-anchor="middle">{shown(name, 30)}</text>'


def across(axis: Axis, bottom: float, name: str = "") -> str:
    """A horizontal axis below the drawing: values and the axis' name."""
    values = "".join(
        f'<text class="soft" x="{axis.at(v)}" y="{bottom + 13}" text-anchor="middle">{v:,g}</text>'
        for v in axis.ticks()
    )
    middle = (axis.start + axis.end) / 2
    line = f'<path class="axis" d="M{axis.start} {bottom}H{axis.end}"/>'
    return (
        f'{line}{values}<text x="{middle}" y="{bottom + 27}" text-anchor="middle">'
        f"{shown(name, 40)}</text>"
    )


def model_mark(name: str, x: float, y: float) -> str:
    """A filled dot for the candidate, an open square for the champion."""
    if name == "candidate":
        return f'<circle class="dot" cx="{x}" cy="{y}" r="3"/>'
    return f'<rect class="champion box" x="{x - 2.5:.1f}" y="{y - 2.5:.1f}" width="5" height="5"/>'


def outcome_mark(outcome: str, x: float, y: float) -> str:
    """One shape for each outcome, so that colour is never the only difference."""
    if outcome == "promoted":
        return f'<path class="good" d="M{x} {y - 5}l5 9h-10z"/>'
    if outcome == "rolled back":
        return f'<path class="wait" d="M{x} {y + 5}l5 -9h-10z"/>'
    if outcome == "held":
        return f'<circle class="wait" cx="{x}" cy="{y}" r="2.5"/>'
    if outcome == "blocked":
        return f'<rect class="stop" x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>'
    if outcome == "error":
        return f'<path class="stop" stroke-width="2" d="M{x - 4:.1f} {y - 4}l8 8m0 -8l-8 8"/>'
    return f'<circle class="none" cx="{x}" cy="{y}" r="2.5"/>'


def key(*names: str) -> str:
    """What the marks mean: a list of models and outcomes."""
    items = "".join(
        f'<li><svg viewBox="0 0 26 12" aria-hidden="true">{_sample(name)}</svg>'
        f"{shown(name.replace('_', ' '))}</li>"
        for name in names
    )
    return f'<ul class="key">{items}</ul>' if items else ""


def _sample(name: str) -> str:
    if name in ("candidate", "champion"):
        line = f'<path class="{name}" stroke-width="1.5" d="M0 6H26"/>'
        return line + model_mark(name, 13, 6)
    return outcome_mark(name, 13, 6)


def drawing(name: str, height: float, title: str, about: str, inner: str) -> str:
    """The SVG, with a title and a description for those who cannot see it."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{shown(title)}</title><desc id="{name}-d">{shown(about)}</desc>'
        f"{inner}</svg>"
    )


def figure(svg: str, caption: str, legend: str, numbers: str) -> str:
    """A drawing under its caption, with its key and its numbers."""
    return f"<figure><figcaption>{caption}</figcaption>{legend}{svg}{numbers}</figure>"
