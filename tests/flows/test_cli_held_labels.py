"""The command line over a window whose labels were blocked, which is learned from once more."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ratchet.cli.screen import line, summary
from ratchet.contracts.lineage import Decision
from ratchet.settings import settings
from tests.cli import Terminal, terminal
from tests.flows.test_shield import DEFENDED, flip, run
from tests.streams import window_rows

BLOCKED = "3000"
HELD = 400  # labels of that window


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the turned labels of one window were held back in the next, and no row."""
    home = tmp_path_factory.mktemp("held") / "home"
    run(home, DEFENDED, {2: flip(window_rows(2), 0.2)})
    return home


@pytest.fixture
def ratchet(
    lived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Terminal]:
    """Commands in a copy of it."""
    shutil.copytree(lived, tmp_path / "home")
    yield terminal(tmp_path / "home", monkeypatch, capsys)
    settings.cache_clear()


def test_the_page_of_checks_is_that_of_the_decision_that_judged_the_data(ratchet: Terminal) -> None:
    told = [json.loads(text) for text in ratchet("explain", BLOCKED, "--json").out.splitlines()]
    assert [d["cycle_key"].split("/")[3:] for d in told] == [[], ["trusted"]]
    page = ratchet.home / "checks.html"
    assert ratchet("report", BLOCKED, "--checks", "--out", page).code == 0
    assert "z is centred" in page.read_text()
    assert "control.match" in page.read_text()
    assert "None ran" not in page.read_text()


def test_without_a_drift_report_the_reason_is_that_of_the_windows_own_cycle(
    ratchet: Terminal,
) -> None:
    none = ratchet("report", BLOCKED)
    assert none.code == 2
    assert "the cycle ended before it (blocked)" in none.err


def test_a_drift_report_is_still_there_after_its_champion_was_taken_back(ratchet: Terminal) -> None:
    (served,) = json.loads(ratchet("status", "--json").out)
    newest = served["newest"]
    who = ("--by", "Ada", "--reason", "x")
    assert ratchet("source", "revoke", "landing", "--json", *who).code == 0
    assert len(ratchet("explain", newest, "--json").out.splitlines()) > 1
    assert ratchet("report", newest).code == 0


def test_what_a_person_did_with_an_entry_stands_beside_the_evidence(ratchet: Terminal) -> None:
    (entry,) = json.loads(ratchet("quarantine", "list", "--json").out)
    name, found = entry["entry"], entry["found"]
    assert (entry["rows"], entry["reason"], entry["status"]) == (HELD, found, "quarantined")
    who = ("--by", "Ada", "--reason", "looked them up")
    assert ratchet("quarantine", "discard", name, *who).code == 0
    shown = ratchet("quarantine", "show", BLOCKED, "--rows", "999").out.splitlines()
    assert shown[0] == f"{name}: {HELD} labels, discarded"
    assert shown[1].startswith("  decided   discarded by Ada: looked them up (20")
    assert shown[2] == f"  reason    {found}"
    assert len(shown) == 4 + HELD
    listed = ratchet("quarantine", "list", "--all").out.splitlines()
    assert f"  {HELD} labels of window {BLOCKED}, discarded: {found}" in listed
    assert "  discarded by Ada: looked them up" in listed


def test_labels_that_were_held_back_are_counted_where_no_row_was(
    ratchet: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = json.loads(ratchet("status", "--json").out)
    assert (found["rows_quarantined"], found["labels_quarantined"]) == (0, HELD)
    assert f"accepted, 0 rows and {HELD} labels held back" in ratchet("status").out
    told = ratchet("explain", BLOCKED, "--json").out.splitlines()
    blocked, again = (Decision.from_json(json.loads(text)) for text in told)
    assert f"400 in {HELD} labels out  drift" in line(blocked)
    wide, plain = line(blocked), line(replace(blocked, labels_quarantined=0))
    assert wide.index("blocked") == plain.index("blocked"), "the columns stay where they are"
    assert line(again).index("drift") == plain.index("drift")
    summary([blocked, again])
    assert f"400 rows accepted, 0 rows and {HELD} labels held back." in capsys.readouterr().out
