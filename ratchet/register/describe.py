"""A decision as a page that a person reads: on the model version, the run, and in the terminal.

>>> print(describe(decision).splitlines()[0])                         # doctest: +SKIP
## Promoted: window 2013-03-05 of flights

Every value is escaped: a category named ``<script>`` or ``a|b`` is shown, never obeyed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from ratchet.contracts.clock import Clock
from ratchet.contracts.evidence import Evidence, Verdict, telling
from ratchet.contracts.lineage import Decision, Lineage, MemberLineage
from ratchet.contracts.metrics import figure
from ratchet.contracts.search import CHECK as SEARCH
from ratchet.register.steps import next_steps

PAGE_LIMIT = 5000  # characters: the width of the description in MLflow's database
GAP = "\u00a0\u00a0"
HEADLINES = {
    "promoted": "Promoted",
    "held": "Held back",
    "blocked": "Blocked",
    "no_data": "No data",
    "error": "Error",
}
_METRICS = ("rows", "loss", "auc", "balanced_accuracy", "accuracy", "r2", "mae")  # then the rest
_ENTITIES = {"&": "&amp;", "<": "&lt;", "|": "&#124;", "`": "&#96;"}


def plain(value: object, limit: int = 300) -> str:
    """The value as text that Markdown and HTML show as it is, on one line.

    Controls and characters that change the direction of text are dropped; more than ``limit``
    characters are cut.
    """
    text = "".join(" " if c.isspace() else c for c in str(value))
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    text = re.sub(r"([\\*_\[\]#~])", r"\\\1", text)
    return "".join(_ENTITIES.get(c, c) for c in text)


def describe(
    decision: Decision, limit: int | None = PAGE_LIMIT, waiting: Sequence[str] = ()
) -> str:
    """The decision in Markdown: outcome, why, evidence, what it was trained on, what to do next.

    Args:
        decision: of a cycle or of a rollback.
        limit: the most characters; passed checks are summed up, then the longest cells cut, until
            the page fits. None shows all.
        waiting: as in :func:`~ratchet.register.steps.next_steps`.
    """
    page = ""
    for checks, cell in ((None, 300), (12, 200), (0, 160), (0, 80), (0, 40)):
        page = "\n\n".join(s for s in _sections(decision, checks, cell, waiting) if s) + "\n"
        if limit is None or len(page) <= limit:
            return page
    return page[: (limit or len(page)) - 4].rpartition("\n")[0] + "\n\n…"


def _sections(
    decision: Decision, checks: int | None, cell: int, waiting: Sequence[str]
) -> list[str]:
    window, name = plain(decision.window, 60), plain(decision.pipeline, 60)
    headline = HEADLINES.get(decision.outcome, plain(decision.outcome))
    reasons = decision.reasons[:3] if decision.outcome == "promoted" else decision.reasons[:6]
    return [
        f"## {headline}: window {window} of {name}",
        _champion(decision),
        "\n".join(f"- {plain(reason, cell)}" for reason in reasons),
        _metrics(decision),
        _search(decision),
        _evidence(decision, checks, cell),
        _trained_on(decision),
        _window(decision),
        _what_you_can_do(decision, waiting),
    ]


def _champion(decision: Decision) -> str:
    before, after = decision.champion_before, decision.champion_after
    if before == after:
        return f"The champion stays **version {after}**." if after else "There is no champion yet."
    if after is None:
        return f"Version {before} is no longer champion."
    if before is None:
        return f"**Version {after}** is the first champion."
    return f"The champion was version {before} and is now **version {after}**."


def _metrics(decision: Decision) -> str:
    if not decision.candidate:
        return ""
    names = sorted({*decision.candidate, *decision.champion}, key=metric_rank)
    rows = [
        (plain(m, 40), _number(decision.candidate.get(m)), _number(decision.champion.get(m)))
        for m in names[:12]
    ]
    table = _table(("on held-out rows", "candidate", "champion before"), rows)
    return f"### Measured\n\n{table}"


def metric_rank(name: str) -> tuple[int, str]:
    """By importance, not as stored: a decision read back must give the very same page."""
    return (_METRICS.index(name) if name in _METRICS else len(_METRICS), name)


def _evidence(decision: Decision, checks: int | None, cell: int) -> str:
    """What stopped it first, then the gate, then warnings, then as many others as there is room."""
    if not decision.evidence:
        return ""
    shown = sorted((e for e in decision.evidence if _always_shown(e)), key=_rank)
    others = [e for e in decision.evidence if not _always_shown(e) and e.check != SEARCH]
    kept = others if checks is None else others[:checks]
    rows = [(plain(e.check, 60), _mark(e.verdict), plain(e.arithmetic, cell)) for e in shown + kept]
    text = f"### Evidence\n\n{_table(('check', 'verdict', 'arithmetic'), rows)}"
    left = len(others) - len(kept)
    return f"{text}\n\nand {left} more checks that passed." if left else text


def _search(decision: Decision) -> str:
    """What was tried in the shadow, one line each; what was adopted first."""
    said = next((e.arithmetic for e in decision.evidence if e.check == SEARCH), "")
    if not said:
        return ""
    lines = "\n".join(f"- {plain(one, 400)}" for one in said.split("; ")[:16])
    return f"### Tried in the shadow\n\n{lines}"


def _always_shown(evidence: Evidence) -> bool:
    return evidence.verdict is not Verdict.PASS or _of_the_gate(evidence)


def _of_the_gate(evidence: Evidence) -> bool:
    return evidence.check.startswith(("gate.", "register."))


def _rank(evidence: Evidence) -> tuple[bool, int, int]:
    if evidence.verdict.lets_through:
        return True, int(not _of_the_gate(evidence)), 0
    return False, *telling(evidence)


def _mark(verdict: Verdict) -> str:
    return verdict.value if verdict is Verdict.PASS else f"**{verdict.value}**"


def _trained_on(decision: Decision) -> str:
    lineage = decision.lineage
    if lineage is None:
        return ""
    show = clock_of(decision.window).show
    since = "the beginning" if lineage.train_from is None else show(lineage.train_from)
    share = lineage.sealed_share
    sealed = [("sealed", f"{share:.0%} of all rows, left out")] if share else []
    rows = [
        ("rows", f"{lineage.rows:,}, events from {since} until {show(lineage.train_before)}"),
        ("known before", f"{show(lineage.as_of)} (as-of)"),
        ("recipe", recipe_of(lineage)),
        ("tables", f"accepted v{lineage.accepted_version}, labels v{lineage.labels_version}"),
        ("parent", f"version {lineage.parent}" if lineage.parent else "none"),
        ("seed, threads", f"{lineage.seed}, {lineage.threads}"),
        *sealed,
        *((f"{n} digest", f"{d[:12]}") for n, d in digests(lineage).items() if d),
    ]
    return f"### Trained on\n\n{_table(('what', 'value'), [(a, plain(b)) for a, b in rows])}"


def digests(lineage: Lineage) -> dict[str, str]:
    """What it was made from and what came out, by name; some may be empty."""
    return {
        "data": lineage.data_digest,
        "definition": lineage.definition_digest,
        "code": lineage.code_digest,
        "model": lineage.model_digest,
    }


def weights_of(decision: Decision) -> dict[str, float]:
    """Member of the candidate's mixture to its weight; empty for a single recipe."""
    return {m.name: m.weight for m in decision.lineage.members} if decision.lineage else {}


def recipe_of(lineage: Lineage) -> str:
    """The recipe's name, and what it sets; of a mixture each member's weight, and until when it
    has learned."""
    if lineage.members:
        show = clock_of(lineage.window).show
        parts = [
            f"{m.name} {m.weight:.2f} ({_sharp(m)}trained before "
            f"{show(m.train_before)}{taught_of(m)})"
            for m in lineage.members
        ]
        moved = f"; level {', '.join(f'{v:+.2f}' for v in lineage.level)}" if lineage.level else ""
        warmth = f"; temperature {lineage.temperature:.2f}" if lineage.temperature != 1 else ""
        return f"mixture of {', '.join(parts)}{moved}{warmth}"
    name = lineage.recipe.get("name", "")
    rest = {k: v for k, v in sorted(lineage.recipe.items()) if k != "name" and v is not None}
    return f"{name} ({', '.join(f'{k} {v}' for k, v in rest.items())})" if rest else str(name)


def _sharp(member: MemberLineage) -> str:
    return "" if member.sharpness == 1 else f"log odds x {member.sharpness:.2f}, "


def taught_of(member: MemberLineage) -> str:
    """How many rows another member labelled for it, or why none; empty without a teacher."""
    teacher = member.recipe.get("teacher")
    if teacher is None:
        return ""
    if not member.pseudo_rows:
        return f", taught nothing: {member.pseudo_note}"
    return f", {member.pseudo_rows:,} rows more labelled by {teacher}"


def _window(decision: Decision) -> str:
    drift = plain(decision.drift.get("verdict", "not measured"), 60)
    return (
        "### This window\n\n"
        f"{decision.rows_in:,} rows in, {decision.accepted:,} accepted, "
        f"{decision.quarantined:,} quarantined; {decision.labels_in:,} labels in, "
        f"{decision.labels_quarantined:,} quarantined. Drift: {drift}."
    )


def _what_you_can_do(decision: Decision, waiting: Sequence[str]) -> str:
    """Commands stand in a code block: their text is ours, and names follow a strict pattern."""
    steps = next_steps(decision, waiting)
    lines = [f"    # {why}\n    {command}" for why, command in steps]
    return "### What you can do\n\n" + "\n".join(lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells end in two no-break spaces, because MLflow's page draws columns without a gap."""
    lines = [list(head), [":---"] * len(head), *(list(row) for row in rows)]
    first, ruler, *rest = ["| " + f"{GAP} | ".join(line) + " |" for line in lines]
    return "\n".join([first, ruler.replace(GAP, ""), *rest])


def _number(value: float | None) -> str:
    if value is None:
        return ""
    counted = float(value).is_integer() and 1 < abs(value) < 2**53
    return f"{value:,.0f}" if counted else figure(value)


def clock_of(window: str) -> Clock:
    """The clock that gave a window its name: an integer one names it by an integer."""
    return Clock("integer" if window.lstrip("-").isdigit() else "timestamp")
