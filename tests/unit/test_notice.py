"""What a message says, and what hostile data cannot make of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ratchet.contracts.definition import parse
from ratchet.contracts.lineage import Decision, Lineage
from ratchet.contracts.notice import LONGEST, clean, event_of, of_decision, of_failure
from ratchet.errors import DefinitionError
from ratchet.gate import awaiting
from tests.streams import PIPELINE

LINEAGE = Lineage("flights", "w", 0, {}, 0, 1, 0, 0, None, 0, 0, "d", "d", "c", None)
NOW = datetime(2026, 1, 5, 6, tzinfo=UTC)


def decision(outcome: str = "blocked", **more: Any) -> Decision:
    values = {
        "reasons": ("65 of 915 rows differ",),
        "champion_before": 3,
        "champion_after": 3,
        "links": {"mlflow": "http://127.0.0.1:5050/#/experiments/1/runs/r"},
        **more,
    }
    return Decision("flights", "2013-03-19", 11, 0, "flights/11/d", "d", outcome, **values)  # type: ignore[arg-type]


def test_a_message_says_what_why_who_serves_what_to_do_and_where() -> None:
    notice = of_decision(decision(), NOW)
    assert notice.title == "Ratchet: flights 2013-03-19 blocked"
    assert notice.text.splitlines() == [
        "65 of 915 rows differ",
        "Champion: version 3 stays",
        "Next: ratchet explain 2013-03-19 -p flights, then: ratchet quarantine list -p flights",
        "Run: http://127.0.0.1:5050/#/experiments/1/runs/r",
    ]
    assert notice.at == "2026-01-05T06:00:00Z"
    again = of_decision(replace(decision(), seconds={"gate": 3.0}), NOW)
    assert again == notice


def test_each_event_has_its_name_and_its_next_step() -> None:
    back = replace(decision("promoted"), cycle_key="flights/rollback/x", champion_after=2)
    made = [decision("blocked"), decision("error"), decision("promoted"), back]
    assert [event_of(d) for d in made] == ["blocked", "failed", "promoted", "rolled_back"]
    assert [event_of(decision(o)) for o in ("held", "no_data")] == [None, None]
    waits = replace(
        decision("held", evidence=(awaiting("flights", "2013-03-19"),)), lineage=LINEAGE
    )
    assert event_of(waits) == "approval"
    asked = of_decision(waits, NOW)
    assert asked.title == "Ratchet: flights 2013-03-19 waits for approval"
    assert "ratchet approve -p flights --by YOU --reason WHY" in asked.text
    notice = of_decision(back, NOW)
    assert notice.outcome == "rolled back"
    assert "Champion: version 3 -> 2" in notice.text
    first = of_decision(decision("promoted", champion_before=None, champion_after=1), NOW)
    assert "Champion: version 1, the first" in first.text
    none = of_decision(decision(champion_before=None, champion_after=None), NOW)
    assert "Champion: none" in none.text


def test_a_local_path_is_no_link() -> None:
    notice = of_decision(decision(links={"mlflow": "/srv/mlflow/r"}), NOW)
    assert notice.link == "" and "Run:" not in notice.text


def test_the_same_failure_is_one_message_a_day() -> None:
    def made(text: str, at: datetime = NOW) -> str:
        return of_failure("flights", "", text, "", at).id

    assert made("a") == made("a", NOW.replace(hour=23))
    assert len({made("a"), made("b"), made("a", NOW.replace(day=6))}) == 3


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("two\nlines\r\n# heading", "two lines # heading"),
        ("<!channel> look", "< !channel> look"),
        ("@everyone and <@U1>", "(at)everyone and <(at)U1>"),
        ("ada@example.com", "ada@example.com"),
        ("[click](https://evil.example)", "[click] (https:// evil.example)"),
        ("a\u202eb\x00c\x1b[31m", "abc[31m"),
        ("x" * 10_000, "x" * (LONGEST - 1) + "…"),
    ],
)
def test_hostile_content_is_text_and_nothing_more(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown
    assert of_decision(decision(reasons=(hostile,)), NOW).reason == shown


def test_who_is_told_changes_no_digest() -> None:
    plain = parse(PIPELINE)
    told = parse(PIPELINE + '\n[notify]\nevents = ["failed"]\nwebhook = "https://ops.example/x"\n')
    assert told.notify.events == ("failed",)
    assert told.digest == plain.digest


@pytest.mark.parametrize(
    "wrong",
    [
        'webhook = "http://ops.example/x"',
        'webhook = "https://ada:secret@ops.example/x"',
        'webhook = "ops.example"',
        'webhook = "file:///etc/passwd"',
        'events = ["nonsense"]',
        'urls = ["slack://token"]',
    ],
)
def test_a_wrong_notify_is_refused(wrong: str) -> None:
    with pytest.raises(DefinitionError, match="notify"):
        parse(f"{PIPELINE}\n[notify]\n{wrong}\n")
