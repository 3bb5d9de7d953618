"""The accounts table: entered once a window, found again after a long silence, shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratchet.contracts.columns import ACCOUNTS
from ratchet.contracts.evidence import Verdict
from ratchet.validate.accounts import Account, Facts
from tasks import accounts
from tasks.workspace import Workspace
from tests.streams import project


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return project(tmp_path)


def enter(space: Workspace, index: int, **facts: Facts):
    return accounts.enter(space, space.calendar.window(index), facts)


def test_windows_add_up(space: Workspace) -> None:
    enter(space, 3, ewr=Facts(100, 1, 0.5))
    found = enter(space, 4, ewr=Facts(200, 0), jfk=Facts(50, 0))
    assert [e.verdict for e in found] == [Verdict.PASS, Verdict.PASS]
    assert "source ewr: 1 of 300 checked rows differed in 2 windows" in found[0].arithmetic
    p0 = space.definition.shield.max_mismatch
    by_hand = Account().after(3, Facts(100, 1, 0.5), p0).after(4, Facts(200, 0), p0)
    assert accounts.newest(space, ["ewr"], 5) == {"ewr": by_hand}


def test_a_window_is_entered_once_and_what_came_first_counts(space: Workspace) -> None:
    first = enter(space, 3, ewr=Facts(100, 1))
    version = space.tables.version(ACCOUNTS)
    assert enter(space, 3, ewr=Facts(100, 99)) == first
    assert space.tables.version(ACCOUNTS) == version
    enter(space, 4, ewr=Facts(100, 0))
    assert enter(space, 3, ewr=Facts(100, 99)) == first


def test_nothing_to_enter_writes_nothing(space: Workspace) -> None:
    assert enter(space, 3, ewr=Facts(0, 0)) == []
    assert enter(space, 3) == []
    assert space.tables.version(ACCOUNTS) == -1
    assert accounts.standing(space) == []


def test_a_source_that_was_silent_for_long_keeps_its_account(space: Workspace) -> None:
    enter(space, 0, ewr=Facts(100, 7), jfk=Facts(10, 0))
    far = accounts.RECENT * 3
    enter(space, far - 1, jfk=Facts(10, 0))
    found = accounts.newest(space, ["ewr", "jfk", "lga"], far)
    assert (found["ewr"].failures, found["jfk"].windows, found["lga"]) == (7, 2, Account())
    assert accounts.newest(space, ["ewr"], 0) == {"ewr": Account()}


def test_an_alarm_stays_on_the_record(space: Workspace) -> None:
    enter(space, 0, ewr=Facts(1000, 1), jfk=Facts(1000, 0))
    found = enter(space, 1, ewr=Facts(1000, 60), jfk=Facts(1000, 0))
    assert [e.verdict for e in found] == [Verdict.BLOCK, Verdict.PASS]
    calendar = space.calendar
    turned = calendar.label(calendar.window(1))
    assert f"alarm; since window {turned}" in found[0].arithmetic
    for index in range(2, 14):
        enter(space, index, ewr=Facts(1000, 0))
    ewr, jfk = accounts.standing(space)
    assert (ewr["source"], ewr["alarm"], ewr["failures"]) == ("ewr", turned, 61)
    assert (jfk["source"], jfk["alarm"], jfk["windows"]) == ("jfk", None, 2)
    assert "alarm" not in ewr["arithmetic"]  # what it did since speaks for it


def test_the_trust_is_of_before_the_window(space: Workspace) -> None:
    enter(space, 0, ewr=Facts(1000, 500))
    assert accounts.trust(space, ["ewr", "new"], 0) == {"ewr": 0.5, "new": 0.5}
    assert accounts.trust(space, ["ewr", "new"], 1)["ewr"] < 0.001
