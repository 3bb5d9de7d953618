"""People are told once, whatever is repeated, broken or slow; the cycle does not care."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from ratchet.adapters.notify import KeptNotices
from ratchet.contracts.columns import DECISIONS, NOTIFICATIONS
from ratchet.contracts.notice import Notice
from ratchet.errors import NotifyError
from ratchet.settings import settings
from tasks import notify
from tasks.meters import Meters
from tasks.watch import watch
from tasks.workspace import Workspace, open_workspace
from tests.cli import Terminal, terminal
from tests.hooks import Hook, hook
from tests.streams import PIPELINE, land_window, project, window_rows, workspace

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TOKEN = "pl4nted-t0ken"


@pytest.fixture
def ratchet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Terminal]:
    yield terminal(tmp_path / "home", monkeypatch, capsys)
    settings.cache_clear()


@pytest.fixture
def server() -> Iterator[Hook]:
    with hook() as found:
        yield found


def spoil(home: Path, index: int) -> None:
    rows = window_rows(index).to_pylist()
    for row in rows[:100]:
        row["x"] = 99.0
    land_window(home, index, pa.Table.from_pylist(rows))


def tell_them(ratchet: Terminal, patch: pytest.MonkeyPatch, server: Hook, windows: int) -> None:
    """A project with a webhook and an Apprise address of the same server."""
    told = f'\n[notify]\nwebhook = "{server.url}"\n'
    project(ratchet.home, windows, PIPELINE + told)
    patch.setenv("RATCHET_NOTIFY_SECRET", SECRET)
    patch.setenv("RATCHET_NOTIFY_URLS", f"json://ada:{TOKEN}@127.0.0.1:{server.port}/{TOKEN}")
    settings.cache_clear()


def kept(home: Path) -> list[dict[str, object]]:
    space = workspace(home, root=str(home / "tables"), state=home / "state")
    return space.tables.read(NOTIFICATIONS).to_pylist()


def by_webhook(server: Hook) -> list[str]:
    return [b["data"]["outcome"] for b in server.bodies if "data" in b]


def test_blocked_and_rolled_back_are_told_once_to_each(
    ratchet: Terminal, server: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_them(ratchet, monkeypatch, server, 3)
    spoil(ratchet.home, 3)
    land_window(ratchet.home, 4)
    done = ratchet("backfill", "tiny")
    assert done.code == 0
    assert by_webhook(server) == ["blocked"]
    assert len(server.came) == 2
    data = server.bodies[0]["data"]
    assert (data["window"], data["champion_before"], data["champion_after"]) == ("3000", 1, 1)
    assert "ratchet explain 3000 -p tiny" in data["next_step"]
    said = ratchet("retrain", "tiny", "3500"), ratchet("backfill", "tiny")
    assert [s.code for s in said] == [0, 0]
    assert len(server.came) == 2, "what is repeated is not told again"
    lines = kept(ratchet.home)
    assert {(x["target"], x["status"], x["event"]) for x in lines} == {
        ("webhook", "sent", "blocked"),
        ("json-1", "sent", "blocked"),
    }
    for path in (p for p in ratchet.home.rglob("*") if p.is_file()):
        assert TOKEN.encode() not in path.read_bytes() and SECRET.encode() not in path.read_bytes()
    for one in (done, *said):
        assert TOKEN not in one.out + one.err and SECRET not in one.out + one.err


def test_what_the_watch_finds_is_told_once(
    ratchet: Terminal, server: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_them(ratchet, monkeypatch, server, 5)
    assert ratchet("backfill", "tiny").code == 0
    space = workspace(ratchet.home, root=str(ratchet.home / "tables"), state=ratchet.home / "state")
    space.registry.set_alias("tiny", "champion", None)
    for _ in range(2):
        watch.fn(workspace(ratchet.home))
        notify.tell(open_workspace("tiny"))
    assert by_webhook(server) == ["watch.champion is wrong"]
    assert "moved the alias by hand" in server.bodies[0]["data"]["reason"]


def test_a_failed_run_is_told_even_if_its_tables_are_what_failed(
    ratchet: Terminal, server: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_them(ratchet, monkeypatch, server, 3)
    assert ratchet("backfill", "tiny").code == 0
    assert server.came == []
    log = ratchet.home / "tables" / "tiny" / DECISIONS / "_delta_log"
    sorted(log.glob("*.json"))[0].unlink()
    assert ratchet("retrain", "tiny").code == 2
    assert by_webhook(server) == ["failed"]
    assert server.bodies[0]["data"]["reason"].startswith("Damaged: ")
    assert ratchet("retrain", "tiny").code == 2
    assert by_webhook(server) == ["failed"], "the same failure on the same day"


def test_what_somebody_may_not_do_wakes_nobody(
    ratchet: Terminal, server: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_them(ratchet, monkeypatch, server, 3)
    assert ratchet("retrain", "tiny", "99000").code == 2
    assert ratchet("retrain", "nosuch").code == 2
    assert server.came == []


class Stuck(KeptNotices):
    def send(self, notice: Notice, seconds: float) -> None:
        time.sleep(30)


class Wild(KeptNotices):
    def send(self, notice: Notice, seconds: float) -> None:
        raise RuntimeError(f"https://host/{TOKEN}")


def blocked_space(home: Path, *targets: KeptNotices) -> Workspace:
    """A workspace whose newest window was blocked, and that tells these."""
    from flows.retrain import run_windows
    from tasks import windows
    from tests.streams import quick

    project(home, 1)
    spoil(home, 1)
    land_window(home, 2)
    space = quick(workspace(home))
    space.__dict__["notifiers"] = list(targets)
    made = list(run_windows(space, windows.undecided(space, None, None)))
    assert [d.outcome for d in made] == ["held", "blocked"]
    return space


def test_a_target_that_hangs_or_breaks_holds_up_nothing_and_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "EACH", 0.2)
    good = KeptNotices("good")
    space = blocked_space(tmp_path, Stuck("stuck"), Wild("wild"), good)
    for _ in range(4):
        notify.tell(space)
    assert len(good.notices) == 1
    lines = space.tables.read(NOTIFICATIONS).to_pylist()
    ended = {(x["target"], x["status"]) for x in lines}
    assert ended == {("stuck", "failed"), ("wild", "failed"), ("good", "sent")}
    assert len([x for x in lines if x["target"] == "stuck"]) == notify.TRIES
    assert {x["trouble"] for x in lines if x["target"] == "wild"} == {"RuntimeError"}
    counted = Meters(space.settings).read()["ratchet_notifications_total"]
    assert counted == {("tiny", "sent"): 1.0, ("tiny", "failed"): 2.0 * notify.TRIES}
    assert TOKEN not in str(lines)


def test_what_a_dead_run_could_not_tell_the_next_one_does(tmp_path: Path) -> None:
    target = KeptNotices()
    target.broken = "down"
    space = blocked_space(tmp_path, target)
    assert target.notices == []
    target.broken = ""
    notify.tell(space)
    notify.tell(space)
    assert [n.outcome for n in target.notices] == ["blocked"]


def test_old_news_wakes_nobody_and_a_replay_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    space = blocked_space(tmp_path)
    late = KeptNotices()
    space.__dict__["notifiers"] = [late]
    monkeypatch.setattr(notify, "FRESH", timedelta(0))
    notify.tell(space)
    monkeypatch.setattr(notify, "FRESH", timedelta(days=1))
    notify.tell(Workspace(space.definition, space.suite, space.settings, replay="r"))
    assert late.notices == []
    notify.tell(space)
    assert len(late.notices) == 1


def test_a_revocation_is_told(tmp_path: Path) -> None:
    from ratchet.contracts.revocation import Reach
    from tasks.revoke import revoke

    target = KeptNotices()
    space = blocked_space(tmp_path, target)
    source = space.zone.name
    revoke(space, Reach(source), by="ada", reason="it\nlies @all")
    notify.tell(space)
    notify.tell(space)
    (told,) = [n for n in target.notices if n.event == "revoked"]
    assert told.reason.endswith("revoked by ada: it lies (at)all")


def test_the_test_message_says_how_it_went(
    ratchet: Terminal, server: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(ratchet.home)
    assert "nobody is told" in ratchet("notify").err
    tell_them(ratchet, monkeypatch, server, 0)
    said = ratchet("notify")
    assert (said.code, said.out) == (0, "webhook: sent\njson-1: sent\n")
    server.answers[:] = [403]
    said = ratchet("notify", "-p", "tiny")
    assert said.code == 1 and "webhook: webhook: answered 403" in said.out
    assert TOKEN not in said.out + said.err


def test_nothing_that_goes_wrong_here_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> object:
        raise NotifyError("everything")

    space = blocked_space(tmp_path, KeptNotices())
    monkeypatch.setattr(notify, "_news", broken)
    monkeypatch.setattr(notify, "_open", broken)
    notify.tell(space)
    notify.failed("tiny", ValueError("x"))
