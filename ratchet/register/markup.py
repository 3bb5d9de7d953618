"""The small pieces that a decision's page is made of: cells, tables, sections, style.

>>> shown("<b>\\u202e")
'&lt;b&gt;\\\\u202e'

Promise: whatever a value holds, it is shown and never obeyed, on one line, in bounded space.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape

CELL = 400  # characters of one value that a page holds
SHORT = 160  # of them, those that are seen before it is opened
_PART = re.compile(r"([._/(,])(?=\w)")
_FORMULA = ("=", "+", "-", "@")  # a table is copied into a spreadsheet, which would run these
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --bg: #fff; --fg: #1f2328; --dim: #59636e; --line: #d1d9e0;
  --card: #f6f8fa; --pass: #1a7f37; --warn: #855700; --bad: #c11c2b; --candidate: #0860ca;
  --champion: #b04a00 }
@media screen and (prefers-color-scheme: dark) { :root { --bg: #0d1117; --fg: #e6edf3;
  --dim: #9aa4af; --line: #3d444d; --card: #161b22; --pass: #4ac26b; --warn: #d9a72e;
  --bad: #ff8078; --candidate: #6cb2ff; --champion: #ff9f50 } }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; background: var(--bg); color: var(--fg) }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 3rem }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .2rem 0 .6rem }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; padding-top: 1rem }
h2 { border-top: 1px solid var(--line) }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem }
p { margin: .4rem 0 } a { color: var(--candidate) }
.lead { font-size: 1.1rem } .dim, caption, small { color: var(--dim) }
.badge { display: inline-block; border-radius: 1rem; padding: 0 .7rem; font-weight: 600 }
.badge { border: 1px solid }
.promoted, .PASS, .better { color: var(--pass) }
.held, .no_data, .WARN, .INCONCLUSIVE { color: var(--warn) }
.blocked, .error, .BLOCK, .ERROR, .worse { color: var(--bad) }
.verdict { font-weight: 600; font-size: .85rem; white-space: nowrap }
h1, p, li, td, dd, pre { overflow-wrap: anywhere }
h1, p, li, td, th, dd, code { unicode-bidi: isolate }
code { font: .88em/1.45 ui-monospace, monospace }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .4rem }
pre { padding: .5rem .7rem; margin: .3rem 0 1rem; white-space: pre-wrap }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .6rem }
dl { margin: 1.2rem 0 0 }
dl div { background: var(--card); border: 1px solid var(--line); border-radius: .4rem }
dl div { padding: .5rem .7rem }
dt { color: var(--dim); font-size: .82rem } dd { margin: 0; font-weight: 600 }
dd small { display: block; font-weight: 400 }
table { border-collapse: collapse; width: 100%; margin: .6rem 0 }
caption { text-align: left; font-size: .9rem; padding-bottom: .2rem }
th, td { text-align: left; vertical-align: top; padding: .35rem .7rem .35rem 0 }
th, td { border-bottom: 1px solid var(--line) }
thead th { color: var(--dim); font-weight: 400; font-size: .85rem }
.wide { overflow-x: auto }
tbody th { font-weight: 400 } td.n { white-space: nowrap; font-variant-numeric: tabular-nums }
table.pairs th:first-child { width: 9rem } table.stack td:last-child { min-width: 16rem }
summary { cursor: pointer }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)) }
.plots { gap: 1.5rem; align-items: start }
figure { margin: .8rem 0; break-inside: avoid } figcaption { font-size: .88rem }
svg { display: block; width: 100%; height: auto; color: var(--fg); overflow: visible }
svg text { fill: currentColor; font: 11px system-ui, sans-serif } svg .soft { fill: var(--dim) }
svg .axis { stroke: var(--line); fill: none } svg .even { stroke: var(--dim); fill: none }
svg .candidate { stroke: var(--candidate); fill: none }
svg .champion { stroke: var(--champion); fill: none; stroke-dasharray: 5 3 }
svg .bar { stroke-width: 1; stroke-dasharray: none; opacity: .45 }
svg .dot { fill: var(--candidate) } svg .box { fill: var(--bg); stroke-dasharray: none }
svg .good { fill: var(--pass); stroke: var(--pass) } svg .wait { fill: var(--warn) }
svg .wait { stroke: var(--warn) } svg .stop { fill: var(--bad); stroke: var(--bad) }
svg .none { fill: none; stroke: var(--dim) }
.key { display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .85rem; list-style: none }
.key { padding: 0; margin: .3rem 0 } .key svg { display: inline-block; width: 1.6rem }
.key svg { vertical-align: middle; margin-right: .3rem }
.meter { display: block; height: .4rem; max-width: 8rem; background: var(--candidate) }
.meter { border-radius: .2rem; print-color-adjust: exact }
@media (max-width: 40rem) { h1 { font-size: 1.35rem } ol { padding-left: 1.3rem }
  table.stack thead { display: none }
  table.stack tr { display: block; border-bottom: 1px solid var(--line); padding: .5rem 0 }
  table.stack th, table.stack td { display: block; border: 0; padding: .1rem 0 }
  table.stack td:empty { display: none } table.stack td:last-child { min-width: 0 }
  table.stack td[data-name]::before { content: attr(data-name) " "; color: var(--dim) }
  table.stack td[data-name=verdict]::before { content: none }
}
@media print { main { max-width: none; padding: 0 } tr, dl div, pre { break-inside: avoid }
  h2, h3 { break-after: avoid }
  a[href^="http"]::after { content: " (" attr(href) ")"; font-size: .8em } }
"""


def document(title: str, body: str) -> str:
    """A whole page with its policy and style. ``title`` is text, ``body`` is HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{shown(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def section(name: str, *parts: str) -> str:
    """A part of the page under its heading; nothing where it has no content."""
    inner = "".join(parts)
    return f"<section><h2>{escape(name)}</h2>{inner}</section>" if inner else ""


def shown(value: object, limit: int = CELL) -> str:
    """A value as HTML text: at most ``limit`` characters, and how many there were.

    Controls and characters that change the direction of text are shown by their number; text that
    a spreadsheet would run gets a leading ``'``.
    """
    text = str(value)
    kept = "".join(_visible(c) for c in text[:limit])
    if kept.startswith(_FORMULA) and not _is_number(kept):
        kept = f"'{kept}"
    cut = f"… ({len(text):,} characters)" if len(text) > limit else ""
    return escape(kept) + cut


def _visible(character: str) -> str:
    if character.isspace():
        return " "
    if unicodedata.category(character) in ("Cc", "Cf", "Cs"):
        return f"\\u{ord(character):04x}"
    return character


def _is_number(text: str) -> bool:
    try:
        float(text.rstrip("%"))
    except ValueError:
        return False
    return True


def cell(value: object, limit: int = CELL) -> str:
    """Like :func:`shown`; what is long is folded."""
    text = str(value)
    if len(text) <= SHORT or limit <= SHORT:
        return shown(text, limit)
    return f"<details><summary>{shown(text[:SHORT])} …</summary>{shown(text, limit)}</details>"


def code(value: object, limit: int = 80) -> str:
    """A name, which may break after its parts."""
    parts = _PART.sub(r"\1<wbr>", shown(value, limit))
    return f"<code>{parts}</code>"


def number(value: object) -> str:
    """A number in four places, or in two digits where it is tiny; nothing for None."""
    if not isinstance(value, int | float):
        return ""
    if float(value).is_integer() and (abs(value) >= 1 or value == 0):
        return f"{value:,.0f}"
    return f"{value:.2g}" if abs(value) < 0.001 else f"{value:,.4f}"


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, stack: bool = False
) -> str:
    """A table whose cells are HTML already; the first cell of a row is its heading.

    Args:
        caption, head: plain text.
        rows: each as long as ``head``.
        stack: on a narrow screen each row becomes a block, with the names of its cells.
    """
    body = "".join(
        f'<tr><th scope="row">{first}</th>'
        + "".join(
            f'<td data-name="{escape(name)}"{_numeric(one)}>{one}</td>'
            for name, one in zip(head[1:], rest, strict=True)
        )
        + "</tr>"
        for first, *rest in rows
    )
    if not body:
        return ""
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    kind = ' class="stack"' if stack else ' class="pairs"' if len(head) == 2 else ""
    return (
        f'<div class="wide"><table{kind}><caption>{escape(caption)}</caption>'
        f"<thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _numeric(one: str) -> str:
    return ' class="n"' if _is_number(one.replace(",", "")) else ""


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values (HTML) as a row of cards; those without a value are left out."""
    inner = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in pairs if value
    )
    return f"<dl>{inner}</dl>" if inner else ""


def page_link(address: str, text: str, path: str = "") -> str:
    """A link that opens beside this page; ``address`` is escaped already.

    ``path`` says where it lies, because MLflow shows a page in a frame that opens no links.
    """
    where = f", {code(path)} of the same run" if path else ""
    return f'<a href="{address}" target="_blank" rel="noopener">{escape(text)}</a>{where}'


def folded(summary: str, inner: str) -> str:
    """Content that has to be opened; nothing where there is none."""
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>" if inner else ""
