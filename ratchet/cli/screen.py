"""How decisions look in a terminal: one line a window, a progress bar, a summary."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

import click
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from ratchet.contracts.lineage import Decision, held_back

LOUD = ("blocked", "error")  # whose reason is always shown in full
STYLE = {
    "promoted": "bold green",
    "held": "yellow",
    "blocked": "bold red",
    "no_data": "dim",
    "error": "bold red",
}


ROWS = 19  # characters of the column that counts them
ONCE_MORE = {"trusted": "from trusted rows"}


def primary(metrics: dict[str, float]) -> str:
    """The metric people know best, such as ``AUC 0.731``."""
    for name, shown in (("auc", "AUC"), ("balanced_accuracy", "bal.acc"), ("r2", "R2")):
        if name in metrics:
            return f"{shown} {metrics[name]:.3f}"
    return ""


def json_line(decision: Decision) -> str:
    """One decision as one line of JSON; ``decision`` is its outcome in one word."""
    return json.dumps({"decision": decision.outcome, **decision.as_json()})


def line(decision: Decision) -> str:
    """One decision as a line with rich markup."""
    from rich.markup import escape

    rows = f"{decision.accepted:>6,} in {_out(decision):>9}"
    if decision.again:  # its rows were counted before
        rows = f"{ONCE_MORE.get(decision.again, 'learned once more'):>{ROWS}}"
    drift = {"PASS": "no", "WARN": "yes"}.get(str(decision.drift.get("verdict")), "-")
    models = f"{_models(decision):<{23 - max(len(rows) - ROWS, 0)}}"  # a wide count takes its room
    style = STYLE.get(decision.outcome, "")
    why = escape(decision.reasons[0]) if decision.reasons else ""
    return (
        f"{decision.window:<10} {rows}  drift {drift:<3} {models} "
        f"[{style}]{decision.outcome:<8}[/] {why}"
    )


def _out(decision: Decision) -> str:
    """The rows that were held back; the labels, where it was labels alone."""
    if decision.labels_quarantined and not decision.quarantined:
        return f"{decision.labels_quarantined:,} labels out"
    return f"{decision.quarantined:,} out"


def _models(decision: Decision) -> str:
    candidate, champion = dict(decision.candidate), dict(decision.champion)
    if not candidate:
        return "no candidate"
    against = primary(champion) if champion else "none"
    return f"{primary(candidate)} against {against.removeprefix('AUC ')}"


class DecisionPrinter:
    """A progress bar with one line a decision above it; JSON lines on stdout when asked for."""

    def __init__(self, total: int, as_json: bool = False) -> None:
        self._json = as_json
        self._console = Console(stderr=as_json, highlight=False)
        if not self._console.is_terminal:
            self._console.width = 1000  # whole lines for files and pipes
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._bar = self._progress.add_task("windows", total=total)

    def __enter__(self) -> DecisionPrinter:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, decision: Decision) -> None:
        """Print one decision and move the bar."""
        if self._json:
            click.echo(json_line(decision))
            sys.stdout.flush()
        else:
            self._console.print(line(decision), no_wrap=True, overflow="ellipsis")
            if decision.outcome in LOUD and self._console.is_terminal:
                why = Padding(Text(decision.reasons[0], style="red"), (0, 0, 0, 11))
                self._console.print(why)
        if not decision.again:
            self._progress.advance(self._bar)


def summary(decisions: Sequence[Decision]) -> None:
    """The totals of a run: outcomes, rows, and what every block was for."""
    console = Console(highlight=False, soft_wrap=True)
    counts = Counter(d.outcome for d in decisions)
    shown = ", ".join(f"{n} {outcome}" for outcome, n in counts.most_common())
    first = [d for d in decisions if not d.again]
    rows = sum(d.accepted for d in first)
    out = held_back(sum(d.quarantined for d in first), sum(d.labels_quarantined for d in first))
    more = len(decisions) - len(first)
    also = f", {more} learned from once more" if more else ""
    windows = "window" if len(first) == 1 else "windows"
    console.print(
        f"\n{len(first)} {windows}{also}: {shown}. {rows:,} rows accepted, {out} held back."
    )
    if any(d.outcome == "promoted" for d in decisions):
        served = [d.champion_after for d in decisions if d.champion_after is not None]
        console.print(f"The champion is version {served[-1]}.")
