"""One HTML page for what the suite and every other check found on a window's data.

>>> "<table" in checks_page("flights 2013-03-05", [])
True

It needs no network, no script and no style from elsewhere (Great Expectations' own data docs load
both), and can be read on a phone.

Promise: whatever a value holds, it is shown and never obeyed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from ratchet.contracts.evidence import Evidence, Verdict, telling, worst

SHORT = 160  # characters of a cell that are shown before it has to be opened
SUITE = "suite."
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --pass: #1a7f37; --warn: #9a6700; --bad: #cf222e }
@media (prefers-color-scheme: dark) { :root { --pass: #3fb950; --warn: #d29922; --bad: #ff7b72 } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 75rem }
body { padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem }
th, td { border-bottom: 1px solid var(--line) }
td { overflow-wrap: anywhere; min-width: 5rem } td:nth-child(2) { min-width: 15rem }
code { font-size: .9em }
.PASS { color: var(--pass) } .WARN, .INCONCLUSIVE { color: var(--warn) }
.BLOCK, .ERROR { color: var(--bad) }
.verdict { font-weight: 600; white-space: nowrap }
@media (max-width: 40rem) {
  thead { display: none }
  tr { display: block; border-bottom: 1px solid var(--line); padding: .5rem 0 }
  td, td:nth-child(2) { display: block; border: 0; padding: .1rem 0; min-width: 0 }
  td:empty { display: none }
  td::before { content: attr(data-name) " "; opacity: .6 }
}
"""


def checks_page(title: str, evidence: Sequence[Evidence]) -> str:
    """The page: counts, the rules of the suite, the other checks; what failed comes first.

    Args:
        title: pipeline and window.
        evidence: every check on the window's data.
    """
    ordered = sorted(evidence, key=telling)
    suite = [e for e in ordered if e.check.startswith(SUITE)]
    others = [e for e in ordered if not e.check.startswith(SUITE)]
    rules = [_rule_cells(e) for e in suite]
    checks = [[("verdict", _verdict(e)), ("check", _code(e.check)),
               ("found", escape(e.arithmetic))] for e in others]  # fmt: skip
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: data checks</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1><p>{_summary(evidence)}</p>"
        + _table("Rules of the suite", rules)
        + _table("Other checks", checks)
        + "</body></html>\n"
    )


def _summary(evidence: Sequence[Evidence]) -> str:
    counts = Counter(e.verdict for e in evidence)
    verdict = worst(e.verdict for e in evidence)
    parts = ", ".join(f"{counts[v]} {v.value}" for v in reversed(Verdict) if counts[v])
    whole = f'<span class="verdict {verdict.value}">{verdict.value}</span>'
    return f"Data checks: {whole} ({escape(parts) or 'none ran'})"


def _rule_cells(evidence: Evidence) -> list[tuple[str, str]]:
    details = evidence.details
    failed = int(details.get("failed") or 0)
    observed = str(details.get("observed", evidence.arithmetic))
    if evidence.verdict is Verdict.ERROR:
        observed = evidence.arithmetic
    return [
        ("verdict", _verdict(evidence)),
        ("rule", _code(evidence.check.removeprefix(SUITE))),
        ("level", escape(str(details.get("level", "")))),
        ("observed", _cell(observed)),
        ("expected", _cell(str(details.get("expected", "")))),
        ("why", _cell(str(details.get("reason", "")))),
        ("rows rejected", f"{failed:,}" if failed else ""),
    ]


def _table(name: str, rows: Sequence[Sequence[tuple[str, str]]]) -> str:
    head = "".join(f"<th>{column}</th>" for column, _ in rows[0]) if rows else ""
    body = "".join(
        "<tr>" + "".join(f'<td data-name="{c}">{cell}</td>' for c, cell in row) + "</tr>"
        for row in rows
    )
    inner = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    none = "" if rows else "<p>None ran.</p>"
    return f'<h2>{escape(name)}</h2>{none}<div class="wide"><table>{inner}</table></div>'


def _verdict(evidence: Evidence) -> str:
    value = evidence.verdict.value
    return f'<span class="verdict {value}">{value}</span>'


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _cell(text: str) -> str:
    if len(text) <= SHORT:
        return escape(text)
    short = escape(text[:SHORT].rstrip())
    return f"<details><summary>{short} …</summary>{escape(text)}</details>"
