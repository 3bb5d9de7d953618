"""What a person would run after a decision: the exact commands, each with what it is for.

Commands hold only our own text and names that follow a strict pattern, so that they may be copied.
"""

from __future__ import annotations

import re

from ratchet.contracts.evidence import Evidence
from ratchet.contracts.lineage import Decision

_SENDERS = ("control.", "audit.", "source.", "labels.agreement")  # checks of who sent what


def next_steps(decision: Decision) -> list[tuple[str, str]]:
    """(what it is for, the command) each; the most useful first."""
    name, window = safe(decision.pipeline), safe(decision.window)
    return [
        *_about_blocked(decision, name, window),
        *_about_champion(decision, name),
        *_about_drift(decision, name, window),
        ("Every fact of this decision, as JSON", f"ratchet explain {window} -p {name} --json"),
    ]


def _about_blocked(decision: Decision, name: str, window: str) -> list[tuple[str, str]]:
    steps = []
    stopped = [e for e in decision.evidence if not e.verdict.lets_through]
    if decision.quarantined or decision.labels_quarantined:
        steps.append(
            (
                "See what waits in quarantine; release or discard it",
                f"ratchet quarantine list -p {name}",
            )
        )
    if any(e.check.startswith("suite.") for e in stopped):
        steps.append(("Has the world moved past the rules?", f"ratchet suite diff -p {name}"))
        page = f"ratchet report {window} -p {name} --checks"
        steps.append(("Every check on the data, as a page", page))
    if any(_about_senders(e) for e in stopped):
        steps.append(("How far is each sender trusted?", f"ratchet source list -p {name}"))
    return steps


def _about_senders(evidence: Evidence) -> bool:
    return evidence.check.startswith(_SENDERS)


def _about_champion(decision: Decision, name: str) -> list[tuple[str, str]]:
    before, after = decision.champion_before, decision.champion_after
    if after is None or after == before:
        return [("What serves now, and since when", f"ratchet status -p {name}")]
    steps = [
        (f"Rebuild version {after} and compare its bytes", f"ratchet verify {after} -p {name}")
    ]
    if before is not None:
        back = f"ratchet rollback -p {name} --to {before} --by YOU --reason WHY"
        steps.append((f"Put version {before} back", back))
    return steps


def _about_drift(decision: Decision, name: str, window: str) -> list[tuple[str, str]]:
    if not decision.drift.get("columns") or decision.drift.get("report_error"):
        return []
    return [("The drift report, as a page", f"ratchet report {window} -p {name}")]


def safe(text: str) -> str:
    """A name as it may stand in a command."""
    return re.sub(r"[^\w.:+-]", "", text, flags=re.ASCII)[:60]
