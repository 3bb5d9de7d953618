"""The page of data checks: everything is there, worst first, and nothing in it is obeyed."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.validate import checks_page

VOID = {"meta", "br"}


def rule(name: str, verdict: Verdict, **details) -> Evidence:
    base = {"level": "row", "expected": "min 0", "observed": "1 of 9", "reason": "so", "failed": 0}
    return Evidence(f"suite.{name}", verdict, "text", details={**base, **details})


EVIDENCE = [
    rule("fine", Verdict.PASS),
    rule("bad", Verdict.BLOCK, observed="<script>alert(1)</script>", reason='"&<b>'),
    rule("some", Verdict.WARN, failed=1234),
    Evidence("columns.keys", Verdict.PASS, "0 repeated <i>keys</i>"),
    Evidence("control.match", Verdict.ERROR, "the check broke"),
    rule("long", Verdict.PASS, expected="[" + "x, " * 400 + "]"),
]


class Balanced(HTMLParser):
    """Fails on a tag that closes another one."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_whatever_a_value_holds_is_shown_and_not_obeyed():
    page = checks_page("flights <2013>", EVIDENCE)
    found = Balanced()
    found.feed(page)
    assert found.open == []
    assert not {"script", "b", "i", "img", "link", "iframe"} & set(found.seen)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "flights &lt;2013&gt;" in page


def test_it_needs_nothing_from_elsewhere():
    page = checks_page("flights", EVIDENCE)
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|src=|@import|url\(", page)


def test_what_failed_comes_first_and_every_check_is_counted():
    page = checks_page("flights", EVIDENCE)
    assert page.index("bad</code>") < page.index("some</code>") < page.index("fine</code>")
    assert page.index("control.match") < page.index("columns.keys")
    assert "1 ERROR, 1 BLOCK, 1 WARN, 3 PASS" in page
    assert ">ERROR</span> (" in page
    assert "1,234" in page


def test_long_values_are_folded_and_complete():
    page = checks_page("flights", EVIDENCE)
    assert page.count("<details>") == 1
    assert "x, " * 400 in page


def test_no_evidence_never_looks_like_a_pass():
    page = checks_page("flights", [])
    assert "INCONCLUSIVE" in page
    assert "none ran" in page


def test_the_sentence_of_a_check_is_not_folded():
    said = f"{'a look-up of the cell that stands out; ' * 6}all in 66 rows, quarantined alone"
    page = checks_page("flights", [Evidence("audit.rows", Verdict.WARN, said)])
    assert f'<td data-name="found">{said}</td>' in page
