"""The parts of a decision's page about the window's data: what arrived, the checks, the drift.

Each takes how many rows a table and how many characters a value may have, and gives HTML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ratchet.contracts.evidence import Evidence, Verdict, telling
from ratchet.contracts.lineage import Decision
from ratchet.register.markup import cell, code, folded, number, page_link, shown, table

PAGES = {  # what lies beside one another in a run, by its name among a decision's links
    "decision": "decision.html",
    "drift": "drift/report.html",
    "checks": "validate/checks.html",
}
_NOTES = ("labels.trusted", "source.revoked")  # evidence that says why a window is learned again
_CHECK_HEAD = ("check", "verdict", "found", "threshold", "why")


def arrived(decision: Decision, rows: int, limit: int) -> str:
    """Rows and labels in, accepted, quarantined; by source; what stood in for blocked labels."""
    if decision.is_rollback:
        return ""
    counts = [
        ("rows", decision.rows_in, decision.accepted, decision.quarantined),
        ("labels", decision.labels_in, decision.labels_in - decision.labels_quarantined,
         decision.labels_quarantined),
    ]  # fmt: skip
    lines = [(name, *(f"{n:,}" for n in numbers)) for name, *numbers in counts]
    if _judged_before(decision):
        text = "<p>What the window brought was judged by an earlier decision about it.</p>"
    else:
        text = table("This window", ("what", "arrived", "accepted", "quarantined"), lines)
    notes = [e for e in decision.evidence if e.check in _NOTES]
    text += "".join(f'<p class="{e.verdict}">{shown(e.arithmetic, limit)}</p>' for e in notes)
    return text + _sources(decision.sources, rows)


def _judged_before(decision: Decision) -> bool:
    """Whether this cycle learned once more from a window that was decided already."""
    judged = decision.accepted + decision.quarantined + decision.labels_in
    return decision.rows_in > 0 and judged == 0


def _sources(sources: Mapping[str, Mapping[str, int]], rows: int) -> str:
    order = sorted(sources, key=lambda s: (s.startswith("("), -sources[s].get("rows", 0), s))
    lines = [
        (shown(name, 120), *(f"{sources[name].get(what, 0):,}" for what in ("rows", "labels")))
        for name in order[:rows]
    ]
    return table("By source", ("source", "rows", "labels"), lines)


def checked(decision: Decision, links: Mapping[str, str], rows: int, limit: int) -> str:
    """Every check with what it found, its threshold and its arithmetic, the worst first."""
    evidence = sorted(decision.evidence, key=telling)  # stable
    if not evidence:
        return "" if decision.is_rollback else "<p>No check ran.</p>"
    counts = Counter(e.verdict for e in evidence)
    said = ", ".join(f"{n} {v.value}" for v in reversed(Verdict) if (n := counts[v]))
    loud = [e for e in evidence if e.verdict is not Verdict.PASS]
    quiet = [e for e in evidence if e.verdict is Verdict.PASS]
    kept = loud[:rows]
    passed = quiet[: max(rows - len(kept), 5)]
    text = f"<p>{len(evidence)} checks: {said}.{_open(links, 'checks', 'every rule')}</p>"
    text += _checks("Stopped, undecided or warned, worst first", kept, limit)
    text += _left(loud, kept)
    inner = _checks("What passed", passed, limit) + _left(quiet, passed)
    return text + folded(f"{len(quiet)} checks that passed", inner if quiet else "")


def _left(every: Sequence[Evidence], kept: Sequence[Evidence]) -> str:
    left = len(every) - len(kept)
    return f"<p>and {left:,} more, in decision.json.</p>" if left else ""


def _checks(caption: str, evidence: Sequence[Evidence], limit: int) -> str:
    lines = [(code(e.check), _verdict(e), *_measured(e, limit)) for e in evidence]
    return table(caption, _CHECK_HEAD, lines, stack=True)


def _verdict(evidence: Evidence) -> str:
    value = evidence.verdict.value
    return f'<span class="verdict {value}">{value}</span>'


def _measured(evidence: Evidence, limit: int) -> tuple[str, str, str]:
    """Found, threshold, arithmetic; a rule of the suite says all three in its own words.

    The sentence of any other check is not folded, because its point often comes last.
    """
    details = evidence.details
    found, threshold = number(evidence.measured), number(evidence.threshold)
    if "observed" in details and evidence.verdict is not Verdict.ERROR:
        found = cell(details["observed"], limit)
    if "expected" in details:
        threshold = cell(details["expected"], limit)
    if "observed" not in details:
        return found, threshold, shown(evidence.arithmetic, limit)
    in_parts = found and threshold and details.get("reason")
    return found, threshold, cell(details["reason"] if in_parts else evidence.arithmetic, limit)


def drifted(decision: Decision, links: Mapping[str, str], rows: int, limit: int) -> str:
    """Which columns moved, and whether the champion relies on them."""
    drift = decision.drift
    if "verdict" not in drift:
        return "" if decision.is_rollback else "<p>Not measured in this cycle.</p>"
    says = {"PASS": "It does not matter", "WARN": "It matters"}.get(drift["verdict"], "No verdict")
    why = shown(drift.get("arithmetic") or drift["verdict"], limit)
    text = f"<p><strong>{says}</strong>: {why}.{_open(links, 'drift', 'the report')}</p>"
    if drift.get("report_error"):
        text += f'<p class="WARN">No report: {shown(drift["report_error"], limit)}</p>'
    columns: Mapping[str, Any] = drift.get("columns") or {}
    order = sorted(columns, key=lambda n: (-_share(columns[n]), n))
    moved = [n for n in order if columns[n].get("moved")]
    still = [n for n in order if not columns[n].get("moved")]
    text += _columns("Columns that moved", moved[:rows], columns)
    text += _prediction(drift.get("prediction"))
    others = _columns("Columns that did not move", still[:rows], columns)
    return text + folded(f"{len(still)} columns that did not move", others)


def _share(column: Mapping[str, Any]) -> float:
    return float(column.get("importance") or 0.0)


def _columns(caption: str, names: Sequence[str], columns: Mapping[str, Any]) -> str:
    head = ("column", "distance", "noise alone", "share of the champion's gain")
    lines = [
        (code(n), number(columns[n].get("distance")), number(columns[n].get("noise")),
         _meter(_share(columns[n])))
        for n in names
    ]  # fmt: skip
    return table(caption, head, lines)


def _meter(share: float) -> str:
    width = min(max(share, 0.0), 1.0)
    return f'{share:.1%}<span class="meter" style="width:{width:.1%}"></span>'


def _prediction(column: Mapping[str, Any] | None) -> str:
    if not column:
        return ""
    moved = "moved" if column.get("moved") else "did not move"
    distance, noise = number(column.get("distance")), number(column.get("noise"))
    return f"<p>The champion's scores {moved}: distance {distance}, noise alone {noise}.</p>"


def _open(links: Mapping[str, str], name: str, text: str) -> str:
    if name not in links:
        return ""
    return f" {page_link(links[name], f'Open {text}', PAGES[name])}."
