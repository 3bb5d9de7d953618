"""The page of a decision: everything is there, worst first, nothing in it is obeyed, and the same
decision always gives the same bytes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.lineage import Decision
from ratchet.register import PAGES, decision_page
from ratchet.register.markup import shown
from ratchet.register.page import BYTES_LIMIT
from tests import small_bundle

GOLDEN = Path(__file__).parent.parent / "golden"
VOID = {"meta", "wbr"}
BINS = [[0.1, 0.12, 100], [0.4, 0.35, 100], [0.8, 0.9, 100]]
SLICES = {
    "groups": [
        {"column": "carrier", "slice": name, "members": [name], "rows": 300,
         "improvement": gain, "lower": low, "margin": 0.02}
        for name, gain, low in (("AA", 0.03, 0.01), ("UA", 0.01, -0.03), ("(other)", 0.0, None))
    ],
    "worse": [],
}  # fmt: skip


def decision(**changes) -> Decision:
    base = Decision(
        pipeline="flights",
        window="2013-03-05",
        window_index=9,
        as_of=1_363_046_400_000_000,
        cycle_key="flights/9/eeeeeeeeeeeeeeee",
        definition_digest="e" * 64,
        outcome="promoted",
        reasons=("log loss 0.45 -> 0.44, lower bound 0.0008 > 0", "AUC 0.73 >= 0.55"),
        evidence=(
            Evidence("columns.nulls", Verdict.PASS, "no column lost its values"),
            Evidence("suite.x range(hour)", Verdict.WARN, "rows fail", 0.01, 0.05,
                     {"observed": "3 of 6,500", "expected": "0 to 24", "level": "row"}),
            Evidence("gate.calibration", Verdict.PASS, "0.0120 <= 0.1", 0.012, 0.1,
                     {"candidate": BINS, "champion": BINS[:2]}),
            Evidence("gate.slices", Verdict.PASS, "all groups no worse", -0.01, -0.02, SLICES),
        ),
        rows_in=6500,
        accepted=6400,
        quarantined=100,
        labels_in=6300,
        labels_quarantined=40,
        sources={"landing/a": {"rows": 6000, "labels": 6300},
                 "landing/b": {"rows": 500, "labels": 0}},
        drift={
            "verdict": "WARN",
            "arithmetic": "1 of 2 columns moved (hour 0.20); they carry 0.40 >= 0.30",
            "share_moved": 0.4,
            "columns": {
                "carrier": {"distance": 0.01, "noise": 0.05, "moved": False, "importance": 0.1},
                "hour": {"distance": 0.2, "noise": 0.05, "moved": True, "importance": 0.4},
            },
            "prediction": {"distance": 0.1, "noise": 0.05, "moved": True, "importance": 0.0},
        },
        recipe="all_history",
        recipe_losses={"all_history": 0.44, "recent": 0.45},
        candidate={"rows": 300.0, "auc": 0.7312, "loss": 0.44, "calibration_error": 0.012},
        champion={"rows": 300.0, "auc": 0.7201, "loss": 0.45, "calibration_error": 0.02},
        champion_before=3,
        champion_after=4,
        lineage=small_bundle.lineage(),
        run_id="0" * 32,
        links={name: f"/somewhere/{path}" for name, path in PAGES.items()},
    )  # fmt: skip
    return replace(base, **changes)


NO_CANDIDATE = {
    "evidence": decision().evidence[:2], "candidate": {}, "champion": {}, "lineage": None,
    "recipe": None, "recipe_losses": {}, "drift": {}, "champion_after": 3,
}  # fmt: skip
BLOCKED = Evidence("suite.y", Verdict.BLOCK, "mean 1,601 is not in 995 to 1,116", 1601.0)
HISTORY = [
    decision(window=f"2013-02-{7 * i:02d}", window_index=i + 4, outcome=outcome,
             champion_before=1 + i, champion_after=1 + i + (outcome == "promoted"),
             **({"candidate": {}, "champion": {}} if outcome in ("blocked", "no_data") else {}))
    for i, outcome in enumerate(["promoted", "held", "blocked", "no_data", "error"])
]  # fmt: skip
KINDS = {
    "promoted": decision(),
    "first": decision(champion_before=None, champion_after=1, champion={}),
    "held": decision(outcome="held", champion_after=3, reasons=("cannot tell",)),
    "no candidate": decision(outcome="held", reasons=("no labelled row",), **NO_CANDIDATE),
    "blocked by data": decision(
        outcome="blocked", reasons=(BLOCKED.arithmetic, "and more"), accepted=0,
        **{**NO_CANDIDATE, "evidence": (*decision().evidence[:2], BLOCKED)}),
    "blocked by the gate": decision(outcome="blocked", champion_after=3, reasons=("worse",)),
    "no data": decision(outcome="no_data", rows_in=0, reasons=("0 rows",), **NO_CANDIDATE),
    "error": decision(outcome="error", champion_after=3, evidence=(
        Evidence("gate.scores", Verdict.ERROR, "3 losses are not finite", 3.0, 0.0),)),
    "trusted": decision(cycle_key="flights/9/e/trusted", sources={}, accepted=0, quarantined=0,
        labels_in=0, labels_quarantined=0, evidence=(
        Evidence("labels.trusted", Verdict.WARN, "900 trusted labels stand in", 900.0),)),
    "rollback": Decision(
        "flights", "2013-03-05", 9, 1, "flights/rollback/2013-03-06T00:00:00", "e" * 64,
        "promoted", ("rolled back from version 4 to 3 by ann: slow",),
        champion_before=4, champion_after=3),
    "multiclass": decision(
        candidate={"balanced_accuracy": 0.5, "accuracy": 0.6, "loss": 1.0}, champion={"loss": 1.1}),
    "regression": decision(
        candidate={"r2": 0.5, "mae": 3.0, "loss": 20.0}, champion={"r2": 0.4, "loss": 21.0}),
    "first release": Decision.from_json(json.loads((GOLDEN / "decision-v1.json").read_text())),
    "bare": Decision("p", "0", 0, 0, "p/0/e", "e", "no_data", ()),
}  # fmt: skip


class Reader(HTMLParser):
    """Fails on a tag that closes another one; keeps tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "section", "h1", "h2", "p",
    "span", "strong", "small", "a", "code", "pre", "ul", "ol", "li", "dl", "dt", "dd", "div",
    "table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary", "figure",
    "figcaption", "svg", "desc", "path", "circle", "rect", "text", "wbr",
}  # fmt: skip


def safe(page: str) -> Reader:
    """The page, parsed: only tags of ours, no script, no handler, nothing loaded."""
    found = Reader(page)
    assert {tag for tag, _ in found.tags} <= ALLOWED
    names = {name for _, attributes in found.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert not names & {"src", "srcset", "xlink:href", "action", "background", "data"}
    assert {tag for tag, attributes in found.tags if "href" in attributes} <= {"a"}
    places = [str(link["href"]) for link in found.named("a")]
    assert all(place in PAGES.values() or place.startswith("http") for place in places)
    assert not re.search(r"@import|url\(", page)
    assert "default-src 'none'" in page
    assert len(page.encode()) <= BYTES_LIMIT
    return found


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("history", [[], HISTORY], ids=["alone", "history"])
def test_every_kind_of_decision_gives_a_whole_page(name: str, history: list[Decision]) -> None:
    found = safe(decision_page(KINDS[name], history))
    assert len(found.named("h1")) == 1
    for drawing in found.named("svg"):
        assert drawing.get("aria-hidden") or drawing.get("role") == "img"
    assert all(attributes.get("scope") in ("col", "row") for attributes in found.named("th"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("promoted", "Version 4 replaces version 3 as champion: log loss 0.45 -> 0.44"),
        ("first", "Version 1 is the first champion"),
        ("held", "The candidate was held back; version 3 stays champion: cannot tell"),
        ("no candidate", "No candidate was judged; version 3 stays champion: no labelled row"),
        ("blocked by data", "The window's data were blocked; version 3 stays champion: mean 1,601"),
        ("blocked by the gate", "The candidate was blocked; version 3 stays champion: worse"),
        ("no data", "Nothing arrived; version 3 stays champion: 0 rows"),
        ("error", "A check broke, and what cannot be checked never passes; version 3 stays"),
        ("rollback", "Version 3 was put back in place of version 4: rolled back from version 4"),
        ("bare", "Nothing arrived; there is still no champion"),
        ("trusted", "900 trusted labels stand in"),
        ("trusted", "judged by an earlier decision"),
        ("multiclass", "balanced accuracy"),
        ("regression", "squared error"),
    ],
)
def test_it_says_what_was_decided_and_why_in_one_sentence(name: str, said: str) -> None:
    assert said in Reader(decision_page(KINDS[name], HISTORY)).text


def test_it_answers_in_the_order_of_a_readers_need() -> None:
    page = decision_page(decision(), HISTORY)
    assert re.findall("<h2>(.*?)</h2>", page) == [
        "What arrived", "What was checked", "Drift", "Candidate against champion", "Lineage",
        "Next steps",
    ]  # fmt: skip
    text = Reader(page).text
    for said in ("landing/a", "6,000", "3 of 6,500", "0 to 24", "better by 0.0100",
                 "ratchet verify 4 -p flights",
                 "ratchet rollback -p flights --to 3 --by YOU --reason WHY"):  # fmt: skip
        assert said in text
    assert 'href="drift/report.html"' in page
    assert 'href="validate/checks.html"' in page


def test_the_sentence_of_a_check_is_shown_to_its_end_and_only_a_rules_is_folded() -> None:
    said = f"{'a look-up of the cell that stands out; ' * 6}all in 66 rows, quarantined alone"
    rule = Evidence("suite.x", Verdict.WARN, said, details={"observed": "3", "level": "row"})
    audit = Evidence("audit.rows", Verdict.WARN, said)
    page = decision_page(decision(evidence=(audit,)))
    assert f'<td data-name="why">{said}</td>' in page
    assert f" …</summary>{said}</details>" in decision_page(decision(evidence=(rule,)))


def test_what_failed_comes_first() -> None:
    page = decision_page(KINDS["blocked by data"]).replace("<wbr>", "")
    assert page.index("suite.y</code>") < page.index("suite.x range(hour)</code>")
    assert page.index("suite.x range(hour)</code>") < page.index("columns.nulls</code>")
    assert "1 BLOCK, 1 WARN, 1 PASS" in page


def test_the_drawings_show_models_champions_blocks_and_weak_slices() -> None:
    page = decision_page(decision(), HISTORY)
    assert page.count('class="dot"') >= 3 + 4  # bins; cycles that judged a candidate
    assert ">v2</text>" in page
    assert ">v4</text>" in page
    assert 'class="stop"' in page
    assert page.index(">carrier=(other)</text>") < page.index(">carrier=AA</text>")
    assert "log loss of champion and candidate over 6 cycles: 2 promoted, 1 held" in page
    assert "2 not shown to be no worse" in page


def test_a_window_decided_twice_and_a_rollback_have_their_own_place_among_the_losses() -> None:
    page = decision_page(KINDS["rollback"], [*HISTORY, decision(), decision(outcome="held")])
    marks = re.findall(r'class="(?:good|wait|stop|none)" (?:d="M|cx="|x=")([\d.]+)', page)
    drawn = [float(x) for x in marks][-8:]
    assert len(set(drawn)) == 8
    assert "1 rolled back" in page


def test_the_same_decision_gives_the_same_bytes_when_it_is_read_back() -> None:
    for one in KINDS.values():
        again = Decision.from_json(json.loads(json.dumps(one.as_json(), sort_keys=True)))
        assert decision_page(again, HISTORY) == decision_page(one, HISTORY)


def test_only_addresses_of_a_server_are_linked_from_elsewhere() -> None:
    page = decision_page(decision(), beside=False)
    assert "<a " not in page
    assert "somewhere" not in page
    at = "http://127.0.0.1:5050/#/experiments/1/runs/2/artifacts/drift/report.html?a=1&b=<"
    page = decision_page(
        decision(links={"drift": at, "mlflow": "javascript:alert(1)"}), beside=False
    )
    (link,) = Reader(page).named("a")
    assert link["href"] == at
    assert link["rel"] == "noopener"


HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a\0b", "\u202egnp.exe\u2066",
    "=cmd()", "@SUM(A1)", "\ud800", "</title></style><b>", "&amp;", "z" * 100_000, "\x1b[31m",
    "javascript:alert(1)", "' onclick='x", "]]>", "<!--",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_fault_18_19_hostile_values_are_shown_and_never_obeyed(text: str) -> None:
    evil = Evidence(text, Verdict.BLOCK, text, details={"observed": text, "expected": text})
    group = {**SLICES["groups"][0], "column": text, "slice": text}
    odd = decision(
        pipeline=text, window=text, cycle_key=text, recipe=text, reasons=(text,) * 4,
        outcome="held", champion_after=3, run_id=text, links={"drift": text, text: text},
        evidence=(evil, Evidence("labels.trusted", Verdict.WARN, text),
                  Evidence("gate.slices", Verdict.PASS, text, details={"groups": [group]})),
        sources={text: {"rows": 1, "labels": 2}},
        drift={"verdict": text, "arithmetic": text, "report_error": text,
               "columns": {text: {"distance": 0.1, "noise": 0.0, "moved": True, "importance": 1}}},
        recipe_losses={text: 0.1, "b": 0.2}, candidate={text: 0.3, "loss": 0.1},
        lineage=replace(small_bundle.lineage(), recipe={"name": text, text: text},
                        model_digest=text),
    )  # fmt: skip
    page = decision_page(odd, [odd])
    safe(page)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\0]", page)


def test_fault_18_a_value_of_ten_megabytes_is_cut_and_said_to_be() -> None:
    evidence = Evidence("suite.x", Verdict.BLOCK, "z" * 10_000_000)
    found = safe(decision_page(decision(evidence=(evidence,))))
    assert "… (10,000,000 characters)" in found.text


def test_fault_19_what_a_spreadsheet_would_run_is_escaped_and_numbers_are_not() -> None:
    assert [shown(cell) for cell in ("=cmd()", "+1+1", "@SUM(A1)", "-2+3")] == [
        "&#x27;=cmd()", "&#x27;+1+1", "&#x27;@SUM(A1)", "&#x27;-2+3",
    ]  # fmt: skip
    assert [shown(cell) for cell in (-0.5, "-12%", "a=b")] == ["-0.5", "-12%", "a=b"]


@hypothesis_settings(max_examples=200)
@given(st.text(max_size=40))
def test_whatever_the_text_it_stays_text(text: str) -> None:
    found = Reader(f"<p>{shown(text)}</p>")
    assert found.tags == [("p", {})]


def test_a_page_stays_small_whatever_a_decision_holds() -> None:
    text = "&" * 2000
    many = tuple(Evidence(f"suite.{i} {text}", Verdict.BLOCK, text, details={"observed": text})
                 for i in range(1000))  # fmt: skip
    columns = {f"c{i}": {"distance": 0.1, "noise": 0.0, "moved": True, "importance": 0.0}
               for i in range(2000)}  # fmt: skip
    one = decision(
        evidence=many, drift={"verdict": "WARN", "columns": columns}, reasons=(text,) * 9
    )
    page = decision_page(one, HISTORY * 40)
    safe(page)
    assert "more, in decision.json" in page


def test_numbers_that_are_missing_break_nothing() -> None:
    groups = [{**SLICES["groups"][0], "improvement": None}]
    odd = (
        Evidence("gate.slices", Verdict.ERROR, "broke", float("nan"), details={"groups": groups}),
        Evidence("gate.calibration", Verdict.PASS, "x", details={"candidate": [[None, 0.1, 5]]}),
    )
    safe(decision_page(decision(evidence=odd), HISTORY))


def test_the_page_changes_only_where_somebody_meant_it() -> None:
    """After a change of the page, write the file anew and look at it in a browser."""
    golden = Path(__file__).parents[1] / "golden" / "decision-page.html"
    assert decision_page(KINDS["promoted"], HISTORY) == golden.read_text(encoding="utf-8")
