"""What a person would run after a decision: the exact commands, each with what it is for.

Commands hold only our own text and names that follow a strict pattern, so that they may be copied.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ratchet.contracts.evidence import Evidence
from ratchet.contracts.lineage import Decision

NAMED = 3  # entries in quarantine whose commands are written out
_SENDERS = ("control.", "audit.", "source.", "labels.agreement")  # checks of who sent what
_MODEL = ("gate.", "register.")  # checks of the candidate, not of the data


def next_steps(decision: Decision, waiting: Sequence[str] = ()) -> list[tuple[str, str]]:
    """(what it is for, the command) each; the most useful first.

    Args:
        waiting: entries of the window in quarantine that may be released, the largest first. Known
            only to who asks later: without them the list of entries is one of the steps.
    """
    name, window = safe(decision.pipeline), safe(decision.window)
    return [
        *_about_waiting(decision, waiting, name),
        *_about_blocked(decision, name, window),
        *_about_champion(decision, name),
        *_about_drift(decision, name, window),
        ("Every fact of this decision, as JSON", f"ratchet explain {window} -p {name} --json"),
    ]


def _about_waiting(decision: Decision, waiting: Sequence[str], name: str) -> list[tuple[str, str]]:
    if not (decision.quarantined or decision.labels_quarantined):
        return []
    steps = []
    named = [quoted for entry in waiting[:NAMED] if (quoted := _quoted(entry))]
    for entry in named:
        who = f"{entry} -p {name} --by YOU --reason WHY"
        steps += [
            ("What was held back, and why", f"ratchet quarantine show {entry} -p {name}"),
            ("It is right: learn from it, from the next window on",
             f"ratchet quarantine release {who}"),
            ("It is wrong: close it for good", f"ratchet quarantine discard {who}"),
        ]  # fmt: skip
    if len(named) == len(waiting) > 0:
        return steps
    text = "See what waits in quarantine; release or discard it"
    return [*steps, (text, f"ratchet quarantine list -p {name}")]


def _quoted(entry: str) -> str:
    """An entry's name as one word of a command; empty where it could be obeyed, or read as an
    option."""
    if re.fullmatch(r"\w[\w./:+-]{0,199}", entry, flags=re.ASCII):
        return entry
    return f"'{entry}'" if re.fullmatch(r"\w[\w./:+(), #-]{0,199}", entry, flags=re.ASCII) else ""


def _about_blocked(decision: Decision, name: str, window: str) -> list[tuple[str, str]]:
    steps = []
    stopped = [e for e in decision.evidence if not e.verdict.lets_through]
    if any(e.check.startswith("suite.") for e in stopped):
        steps.append(("Has the world moved past the rules?", f"ratchet suite diff -p {name}"))
    if any(not e.check.startswith(_MODEL) for e in stopped):
        page = f"ratchet report {window} -p {name} --checks"
        steps.append(("Every check on the data, as a page", page))
    if any(_about_senders(e) for e in stopped):
        steps.append(("How far is each sender trusted?", f"ratchet source list -p {name}"))
        hangs = f"ratchet source revoke {_sender(decision)} -p {name} --dry-run"
        steps.append(("Which rows, table versions and models hang on one of them?", hangs))
    return steps


def _sender(decision: Decision) -> str:
    """The one that sent all of it, where there is one that a command may name."""
    names = list(decision.sources)
    return names[0] if len(names) == 1 and safe(names[0]) == names[0] else "NAME"


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
