"""The command line over a small stream: what each command says, and its exit code."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from flows.retrain import run_windows
from ratchet.cli.run import warm_up
from ratchet.cli.screen import DecisionPrinter, line, primary, summary
from ratchet.contracts.definition import load
from ratchet.contracts.lineage import Decision
from ratchet.settings import settings
from tasks import windows
from tests.cli import Terminal, terminal
from tests.streams import PIPELINE, land_window, project, quick, window_rows, workspace

ASKED = ("window", "rows_in", "accepted", "quarantined", "drift", "candidate", "champion")
ASKED += ("outcome", "reasons", "seconds")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has run: a blocked batch, a blocked row, two champions."""
    home = tmp_path_factory.mktemp("lived") / "home"
    project(home, 7, PIPELINE.replace("[gate]", "[gate]\nalpha = 0.4"))  # two champions soon
    shifted = window_rows(4)
    place = shifted.column_names.index("z")
    land_window(home, 4, shifted.set_column(place, "z", pc.add(shifted["z"], 5.0)))
    rows = window_rows(5).to_pylist()
    rows[5]["x"] = 99.0
    land_window(home, 5, pa.Table.from_pylist(rows))
    space = quick(workspace(home))
    list(run_windows(space, windows.undecided(space, None, None)))
    return home


@pytest.fixture
def fresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Terminal]:
    """Commands in an empty directory."""
    yield terminal(tmp_path / "home", monkeypatch, capsys)
    settings.cache_clear()


@pytest.fixture
def ratchet(lived: Path, fresh: Terminal) -> Terminal:
    """Commands in a copy of the project that has run."""
    shutil.copytree(lived, fresh.home)
    return fresh


def samples(rows: int = 400) -> pa.Table:
    """A window of the stream with dates for its times."""
    table = window_rows(3, rows=rows)
    days = [date.fromordinal(date(2020, 1, 1).toordinal() + i // 10) for i in range(rows)]
    return table.set_column(1, "day", pa.array(days)).rename_columns(
        ["id", "day", "x", "z", "c", "y"]
    )


def write_samples(path: Path, table: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        pa.csv.write_csv(table, path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(r, default=str) + "\n" for r in table.to_pylist()))
    else:
        pq.write_table(table, path)
    return path


# --- help and errors ----------------------------------------------------------------------------


def test_help_lists_every_command(fresh: Terminal) -> None:
    said = fresh("--help")
    assert said.code == 0
    for name in ("init", "demo", "retrain", "backfill", "status", "explain", "report"):
        assert f"\n  {name} " in said.out
    for name in ("quarantine", "rollback", "verify", "ui"):
        assert f"\n  {name} " in said.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bakfill"], "No such command 'bakfill'"),
        (["backfill"], "Missing argument 'PIPELINE'"),
        (["backfill", "tiny", "--name", "x"], "--name names a replay: add --replay"),
        (["explain", "1"], "name a pipeline with -p: found none"),
        (["backfill", "nope"], "pipeline 'nope': no file"),
        (["verify", "one"], "'one' is not a valid integer"),
        (["ui", "--port", "0"], "0 is not in the range"),
        (["rollback"], "Missing option '--by'"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(
    fresh: Terminal, arguments: list[str], said: str
) -> None:
    found = fresh(*arguments)
    assert found.code == 2
    assert said in " ".join(found.err.split())
    assert "Traceback" not in found.err + found.out
    assert found.out == ""


def test_a_wrong_file_is_explained_without_a_traceback(ratchet: Terminal) -> None:
    path = ratchet.home / "pipelines" / "tiny.toml"
    path.write_text(path.read_text().replace("max_depth = 3", "max_dept = 3"))
    said = ratchet("backfill", "tiny")
    assert said.code == 2
    assert "recipes.0.max_dept: no such key, found 3; allowed here: " in said.err
    assert said.err.startswith("DefinitionError: ")


def test_a_wrong_setting_is_explained(fresh: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATCHET_LOG_LEVEL", "loud")
    settings.cache_clear()
    said = fresh("status")
    assert (said.code, said.out) == (2, "")
    assert "RATCHET_LOG_LEVEL" in said.err


def test_a_lost_race_exits_with_3(ratchet: Terminal) -> None:
    land_window(ratchet.home, 7)
    with workspace(ratchet.home).lease.hold("the first run"):
        said = ratchet("backfill", "tiny")
        again = ratchet("rollback", "--by", "Ada", "--reason", "x")
    assert (said.code, again.code) == (3, 3)
    assert "LeaseHeld: " in said.err
    assert "the first run" in said.err


def test_an_interrupt_exits_with_130(
    fresh: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ratchet.adapters.samples.read_samples", interrupted)
    assert fresh("init", tmp_path, "--label", "y").code == 130


# --- init ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny.csv", "tiny.jsonl", "tiny.parquet"])
def test_init_writes_a_pipeline_that_loads(fresh: Terminal, name: str, tmp_path: Path) -> None:
    path = write_samples(tmp_path / "data" / name, samples())
    said = fresh("init", path, "--label", "y")
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1].strip() == "ratchet backfill tiny"
    definition = load(fresh.home / "pipelines" / "tiny.toml")
    assert definition.label.column == "y"
    assert definition.time.column == "day"
    assert {"x", "z", "c"} <= set(definition.features)
    suite = json.loads((fresh.home / "expectations" / "tiny.json").read_text())
    assert len(suite["expectations"]) >= 5
    plan = fresh("backfill", "tiny", "--dry-run")
    assert plan.code == 0, plan.err
    assert "windows to run; no cycle has run yet to estimate the cost from\n20" in plan.out


def test_init_reads_a_directory_and_takes_what_is_said(fresh: Terminal, tmp_path: Path) -> None:
    table = samples()
    for i in range(2):
        write_samples(tmp_path / "drop" / f"part{i}.parquet", table.slice(i * 200, 200))
    said = fresh(
        *("init", tmp_path / "drop", "--label", "y", "--time", "day", "--key", "id"),
        *("--name", "mine", "--window", "5d", "--label-delay", "2d", "--objective", "binary"),
    )
    assert said.code == 0, said.err
    definition = load(fresh.home / "pipelines" / "mine.toml")
    assert (definition.time.window, definition.label.delay) == ("5d", "2d")
    assert definition.source.key == ("id",)


def test_init_overwrites_only_when_told(fresh: Terminal, tmp_path: Path) -> None:
    path = write_samples(tmp_path / "tiny.parquet", samples())
    assert fresh("init", path, "--label", "y").code == 0
    pipeline = fresh.home / "pipelines" / "tiny.toml"
    pipeline.write_text("# mine\n" + pipeline.read_text())
    said = fresh("init", path, "--label", "y")
    assert said.code == 2
    assert "exists; choose another --name, or add --force" in " ".join(said.err.split())
    assert pipeline.read_text().startswith("# mine")
    assert fresh("init", path, "--label", "y", "--force").code == 0
    assert not pipeline.read_text().startswith("# mine")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--label", "target"], "'target'"),
        (["--label", "y", "--time", "when"], "'when'"),
        (["--label", "y", "--key", "nr"], "'nr'"),
        (["--label", "y", "--window", "7y"], "7y"),
        (["--label", "y", "--name", "No Good"], "No Good"),
        (["--label", "y", "--name", "../up"], "../up"),
    ],
)
def test_init_says_which_option_is_wrong_and_writes_nothing(
    fresh: Terminal, tmp_path: Path, options: list[str], said: str
) -> None:
    path = write_samples(tmp_path / "tiny.parquet", samples())
    found = fresh("init", path, *options)
    assert found.code == 2
    assert said in found.err
    assert "Traceback" not in found.err
    assert list(tmp_path.rglob("*.toml")) == []


# --- runs ---------------------------------------------------------------------------------------


def test_backfill_json_is_one_object_a_window(fresh: Terminal) -> None:
    project(fresh.home, 4)
    plan = fresh("backfill", "tiny", "--dry-run")
    assert plan.out.splitlines()[0].startswith("3 windows to run; no cycle has run yet")
    assert plan.out.splitlines()[1:] == ["0", "1000", "2000"]
    assert not (fresh.home / "tables" / "tiny" / "decisions").exists()
    said = fresh("backfill", "tiny", "--json")
    made = [json.loads(text) for text in said.out.splitlines()]
    assert [d["window"] for d in made] == ["0", "1000", "2000"]
    for decision in made:
        assert set(ASKED) <= set(decision)
        assert set(decision["seconds"]) >= {"ingest", "validate", "register"}
    again = fresh("backfill", "tiny", "--json")
    assert (again.code, again.out) == (0, "")
    assert "0 windows to run" in again.err


def test_backfill_prints_a_line_a_window_and_a_summary(fresh: Terminal) -> None:
    project(fresh.home, 4)
    said = fresh("backfill", "tiny", "--to", "2000")
    lines = said.out.splitlines()
    assert [text.split()[0] for text in lines[:2]] == ["0", "1000"]
    assert "400 in     0 out" in lines[0]
    assert "2 windows: 2 held. 800 rows accepted, 0 held back." in said.out
    assert "The champion is version 1." in fresh("backfill", "tiny").out
    assert fresh("backfill", "tiny").out == "0 windows to run\n"
    land_window(fresh.home, 4)
    land_window(fresh.home, 5)
    plan = fresh("backfill", "tiny", "--dry-run").out
    assert plan.startswith("2 windows to run: about ")
    assert "mean of the last 3) and 800 rows" in plan


def test_remote_needs_a_server_and_says_so(
    fresh: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    said = fresh("backfill", "tiny", "--remote")
    assert said.code != 0
    assert "--remote needs a Prefect server" in said.err


def test_a_replay_has_its_own_decisions(ratchet: Terminal) -> None:
    before = ratchet("status", "--json").out
    said = ratchet("backfill", "tiny", "--replay", "--name", "audit", "--to", "2000")
    assert said.code == 0, said.err
    assert "2 windows" in said.out
    assert ratchet("explain", "1000", "--replay", "audit").code == 0
    assert ratchet("explain", "3000", "--replay", "audit").code == 2
    assert ratchet("status", "--json").out == before


def test_the_past_is_refused_with_a_way_out(ratchet: Terminal) -> None:
    path = ratchet.home / "pipelines" / "tiny.toml"
    path.write_text(path.read_text().replace("rounds = 12", "rounds = 13"))
    said = ratchet("backfill", "tiny", "--from", "0")
    assert said.code == 2
    assert "--replay" in said.err


def test_retrain_says_what_it_decided(ratchet: Terminal) -> None:
    land_window(ratchet.home, 7)
    said = ratchet("retrain", "tiny", "--json")
    assert said.code == 0, said.err
    (decision,) = [json.loads(text) for text in said.out.splitlines()]
    assert decision["window"] == "6000"
    again = ratchet("retrain", "tiny", "6500")
    assert again.code == 0
    assert again.out.startswith("6000 ")
    assert decision["outcome"] in again.out


def test_the_demo_runs_its_weeks_and_names_the_next_commands(
    fresh: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ratchet.adapters.nycflights import Summary

    ran: list[tuple[Any, ...]] = []
    shown = Summary("x", 53, 7, 6, 2, 2, (("2013-03-05", "poisoned"),))
    monkeypatch.setattr("ratchet.adapters.nycflights.land", lambda zone: shown)
    monkeypatch.setattr("ratchet.cli.start.run_backfill", lambda *given: ran.append(given) or [])
    monkeypatch.setenv("RATCHET_HOME", str(Path(__file__).parents[2]))
    settings.cache_clear()
    said = fresh("demo", "--weeks", "12")
    assert said.code == 0, said.err
    assert ran == [("flights", None, "2013-03-26")]
    assert "2013-03-05  poisoned" in said.out
    assert "there was nothing to do" in said.out
    assert "ratchet ui" in said.out
    assert "ratchet report 2013-03-19" in said.out


def test_the_warm_up_imports_what_a_run_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    seen: list[str] = []
    monkeypatch.setattr("ratchet.cli.run.importlib.import_module", seen.append)
    for reports in (False, True):
        warm_up(reports)
        for thread in threading.enumerate():
            if thread.name == "warm-up":
                thread.join()
    assert seen[:3] == ["xgboost", "great_expectations", "mlflow"]
    assert seen[3:] == [*seen[:3], "evidently.presets"]


# --- looking ------------------------------------------------------------------------------------


def test_status_without_a_pipeline_says_how_to_start(fresh: Terminal) -> None:
    said = fresh("status")
    assert said.code == 0
    assert "ratchet init FILE --label COLUMN" in said.out
    assert fresh("status", "--json").out == "[]\n"


def test_status_before_the_first_run(fresh: Terminal) -> None:
    project(fresh.home)
    said = fresh("status")
    assert said.code == 0, said.err
    assert "champion    none yet" in said.out
    assert "windows     none decided yet" in said.out


def test_status_says_what_serves_and_how_it_went(ratchet: Terminal) -> None:
    (found,) = json.loads(ratchet("status", "--json").out)
    assert found["windows"] == sum(found["outcomes"].values()) == 6
    assert found["outcomes"]["blocked"] == 1
    assert found["champion"] == 2
    assert found["rows_quarantined"] == 401
    assert found["open_quarantine"] == 2
    shown = ratchet("status", "-p", "tiny").out
    assert "version 2 since window" in shown
    assert "1 blocked" in shown
    assert "2 entries wait for a person" in shown


def test_status_needs_no_orchestrator_and_no_registry(lived: Path) -> None:
    script = (
        "import sys\nfrom ratchet.cli.main import ratchet\n"
        "ratchet(['status', '--json'], standalone_mode=False)\n"
        "heavy = ('prefect', 'mlflow', 'xgboost', 'great_expectations', 'evidently')\n"
        "print([m for m in heavy if m in sys.modules])\n"
    )
    where = {"HOME": lived, "ROOT": lived / "tables", "STATE": lived / "state"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={f"RATCHET_{name}": str(path) for name, path in where.items()},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    status, heavy = done.stdout.splitlines()
    assert json.loads(status)[0]["champion"] == 2
    assert heavy == "[]"


def test_a_pipeline_is_named_where_there_are_two(ratchet: Terminal) -> None:
    pipelines = ratchet.home / "pipelines"
    (pipelines / "other.toml").write_text((pipelines / "tiny.toml").read_text())
    unnamed = ratchet("explain", "4000")
    assert unnamed.code == 2
    assert "name a pipeline with -p: found ['other', 'tiny']" in unnamed.err
    assert ratchet("explain", "4000", "-p", "tiny").code == 0
    wrong = ratchet("explain", "4000", "-p", "other")
    assert "name is 'tiny', expected 'other'" in wrong.err


def test_explain_tells_why(ratchet: Terminal) -> None:
    blocked = json.loads(ratchet("explain", "4000", "--json").out)
    assert blocked["outcome"] == "blocked"
    assert blocked["champion_before"] == blocked["champion_after"]
    shown = " ".join(ratchet("explain", "4000").out.split())
    assert "blocked" in shown
    assert "z is centred" in shown
    ids = {line["entry"] for line in json.loads(ratchet("quarantine", "list", "--json").out)}
    (entry,) = (name for name in ids if name.startswith("4000/batch/"))
    _, _, steps = shown.partition("What you can do")
    for action in ("show", "release", "discard"):
        assert f"ratchet quarantine {action} '{entry}' -p tiny" in steps
    assert "ratchet report 4000 -p tiny --checks" in steps
    assert "ratchet quarantine list" not in steps
    promoted = json.loads(ratchet("explain", "2", "--json").out)
    assert (promoted["champion_after"], promoted["outcome"]) == (2, "promoted")
    missing = ratchet("explain", "yesterday")
    assert missing.code == 2
    assert "ratchet status" in missing.err


def test_report_writes_the_page(ratchet: Terminal, tmp_path: Path) -> None:
    said = ratchet("explain", "3000", "--html")
    page = ratchet.home / "state" / "reports" / "tiny-3000-decision.html"
    assert said.out == f"Open {page.resolve()} in a browser.\n"
    assert "tiny, window 3000" in page.read_text()
    assert 'href="./tiny-3000-checks.html"' in page.read_text()
    checks = page.with_name("tiny-3000-checks.html")
    assert "z is centred" in checks.read_text()
    assert ratchet("explain", "3000", "--html", tmp_path / "new" / "d.html").code == 0
    assert (tmp_path / "new" / "d.html").read_bytes() == page.read_bytes()
    assert (tmp_path / "new" / checks.name).read_bytes() == checks.read_bytes()
    said = ratchet("report", "2")
    assert said.code == 0, said.err
    window = json.loads(ratchet("explain", "2", "--json").out)["window"]
    page = ratchet.home / "state" / "reports" / f"tiny-{window}.html"
    assert str(page) in said.out
    assert page.read_text() == "<html></html>"
    assert ratchet("report", "2", "--out", tmp_path / "deep" / "x.html").code == 0
    assert ratchet("report", "0", "--checks", "--out", tmp_path / "checks.html").code == 0
    assert "z is centred" in (tmp_path / "checks.html").read_text()
    assert (tmp_path / "deep" / "x.html").is_file()
    for window, why in (("4000", "ended before it (blocked)"), ("0", "")):
        none = ratchet("report", window)
        assert none.code == 2
        assert f"{window}: no drift report: " in none.err
        assert why in none.err


# --- quarantine ---------------------------------------------------------------------------------


def entry_of(ratchet: Terminal, kind: str) -> str:
    found = json.loads(ratchet("quarantine", "list", "--json").out)
    return str(next(e["entry"] for e in found if e["kind"] == kind))


def test_quarantine_is_listed_and_shown(ratchet: Terminal) -> None:
    listed = ratchet("quarantine", "list").out
    assert "  the whole batch, 400 rows of window 4000, quarantined: " in listed
    assert "  1 row of window " in listed
    entry = entry_of(ratchet, "row")
    shown = ratchet("quarantine", "show", entry).out
    assert "x is a standard normal number" in shown
    assert "99.0" in shown
    rows = ratchet("quarantine", "show", entry_of(ratchet, "batch"), "--json").out.splitlines()
    assert len(rows) == 400
    first = json.loads(rows[0])
    assert first["key"].startswith("k4-")
    assert json.loads(first["payload"])["z"] > 1
    few = ratchet("quarantine", "show", entry_of(ratchet, "batch"), "--rows", "2").out
    assert len(few.splitlines()) == 5
    assert ratchet("quarantine", "show", "nothing").code == 2


def test_release_and_discard_need_a_person_and_are_final(ratchet: Terminal) -> None:
    row, batch = entry_of(ratchet, "row"), entry_of(ratchet, "batch")
    who = ("--by", "Ada", "--reason", "seen")
    assert ratchet("quarantine", "release", row).code == 2
    assert ratchet("quarantine", "release", row, "--by", " ", "--reason", "x").code == 2
    assert "1 line released" in ratchet("quarantine", "release", row, *who).out
    assert "400 lines discarded" in ratchet("quarantine", "discard", batch, *who).out
    again = ratchet("quarantine", "discard", row, *who)
    assert again.code == 2
    assert "released by Ada" in again.err
    assert "Nothing waits in quarantine." in ratchet("quarantine", "list").out
    everything = json.loads(ratchet("quarantine", "list", "--all", "--json").out)
    assert {e["status"] for e in everything} == {"released", "discarded"}
    (found,) = json.loads(ratchet("status", "--json").out)
    assert (found["open_quarantine"], found["released"]) == (0, 1)
    assert "0 entries wait for a person; 1 line was released" in ratchet("status").out


NASTY = [
    "=cmd|' /C calc'!A0",
    "[red]bold[/red]",
    "[/nope]",
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",
    "rtl \u202e txt",
    "two\nlines\r\n",
    "nul \x00",
    "tab\t",
]


def test_fault_19_hostile_text_reaches_no_terminal(fresh: Terminal) -> None:
    project(fresh.home, 3)
    rows = window_rows(0).to_pylist()
    for row, text in zip(rows, NASTY, strict=False):
        row |= {"c": text, "id": text, "x": 99.0}
    land_window(fresh.home, 0, pa.Table.from_pylist(rows))
    (fresh.home / "landing" / "features" / "[red]x[").mkdir()
    (fresh.home / "landing" / "features" / "[red]x[/nope]\u202e.csv").write_text("not,a,table\n")
    assert fresh("backfill", "tiny").code == 0
    found = json.loads(fresh("quarantine", "list", "--json").out)
    assert {e["kind"] for e in found} >= {"object", "row"}
    shown = [fresh("quarantine", "list")]
    for entry in found:
        shown.append(fresh("quarantine", "show", entry["entry"], "--rows", "50"))
        whole = fresh("quarantine", "show", entry["entry"], "--json")
        assert all(json.loads(text) for text in whole.out.splitlines())
        shown.append(whole)
    shown += [fresh("explain", "0"), fresh("status")]
    for said in shown:
        assert said.code == 0, said.err
        bad = {c for c in said.out if not c.isprintable()} - {"\n"}
        assert not bad, said.out
    text = "".join(said.out for said in shown)
    assert "=cmd|" in text, "shown as it is: a terminal runs no formula"
    assert "[red]bold[/red]" in text


# --- models -------------------------------------------------------------------------------------


def test_rollback_moves_the_champion_once(ratchet: Terminal) -> None:
    said = ratchet("rollback", "--by", "Ada", "--reason", "complaints")
    assert said.out == "Champion: version 2 -> 1.\n"
    status = json.loads(ratchet("status", "--json").out)[0]
    assert status["champion"] == 1
    assert status["outcomes"]["rolled back"] == 1
    refused = ratchet("rollback", "--to", "1", "--by", "Ada", "--reason", "again")
    assert refused.code == 2
    assert "champion already" in refused.err
    assert ratchet("rollback", "--to", "2", "--by", "Ada", "--reason", "mended").code == 0


def test_verify_proves_or_fails(ratchet: Terminal) -> None:
    said = ratchet("verify", "1")
    assert said.code == 0, said.out + said.err
    assert [text.split()[:2] for text in said.out.splitlines()] == [
        ["PASS", "verify.stored"],
        ["PASS", "verify.code"],
        ["PASS", "verify.rows"],
        ["PASS", "verify.model"],
    ]
    path = ratchet.home / "pipelines" / "tiny.toml"
    path.write_text(path.read_text().replace("max_depth = 3", "max_depth = 2"))
    assert ratchet("verify", "1").code == 0, "the lineage holds the recipe, not the file"
    path.write_text(path.read_text().replace('z = "number"\n', ""))
    changed = ratchet("verify", "1", "--json")
    assert changed.code == 1
    assert json.loads(changed.out)[-1]["verdict"] == "ERROR"
    assert ratchet("verify", "99").code == 2


def test_verify_refuses_bytes_that_were_altered(ratchet: Terminal) -> None:
    for path in (ratchet.home / "state" / "registry").rglob("model.ubj"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    said = ratchet("verify", "1")
    assert said.code == 2
    assert said.err.startswith("Tampered: ")


def test_the_ui_is_served_on_loopback_alone(
    fresh: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr("ratchet.cli.models._serve", lambda *given: calls.append(given))
    said = fresh("ui", "--port", "5055")
    ((command, environment),) = calls
    assert said.code == 0
    assert "http://127.0.0.1:5055" in said.out
    assert said.out.endswith("stopped\n")
    assert command[:4] == [sys.executable, "-m", "mlflow", "server"]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--allowed-hosts") + 1] == "127.0.0.1:5055,localhost:5055"
    assert environment["MLFLOW_BACKEND_STORE_URI"] == settings().tracking_uri


SERVER = """
import subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(worker.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_ui_ends_its_server_and_the_servers_workers(kind: signal.Signals) -> None:
    run = (
        "import os, sys; from ratchet.cli.models import _serve; "
        f"_serve([sys.executable, '-c', {SERVER!r}], dict(os.environ))"
    )
    parent = subprocess.Popen([sys.executable, "-c", run], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.send_signal(kind)
    assert parent.wait(20) == 0
    for _ in range(100):
        if not _lives(worker):
            break
        time.sleep(0.05)
    assert not _lives(worker)


def _lives(pid: int) -> bool:
    """Whether a process runs; one that ended and was not collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_ui_of_a_server_is_the_server(fresh: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATCHET_MLFLOW_URI", "http://ada:pl4nted@127.0.0.1:5001")
    settings.cache_clear()
    said = fresh("ui")
    assert said.out == "MLflow is served already: http://127.0.0.1:5001\n"


# --- the screen ---------------------------------------------------------------------------------


def decision(**changes: Any) -> Decision:
    plain = {"pipeline": "p", "window": "w1", "window_index": 0, "as_of": 1, "cycle_key": "k"}
    plain |= {"definition_digest": "d", "outcome": "held", "reasons": ("because",)}
    return Decision(**{**plain, **changes})


def test_a_line_escapes_markup() -> None:
    from rich.text import Text

    nasty = "[red]x[/nope] [link=file:///etc/passwd]y[/link]"
    text = Text.from_markup(line(decision(reasons=(nasty,))))
    assert text.plain.endswith(nasty)
    assert [str(s.style) for s in text.spans] == ["yellow"]


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        ({"auc": 0.73125}, "AUC 0.731"),
        ({"balanced_accuracy": 0.5}, "bal.acc 0.500"),
        ({"r2": 0.25}, "R2 0.250"),
        ({"loss": 1.0}, ""),
    ],
)
def test_the_primary_metric(metrics: dict[str, float], shown: str) -> None:
    assert primary(metrics) == shown


def test_a_terminal_shows_a_block_in_full(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    reason = "a reason that is longer than the screen is wide, so it is wrapped below"
    with DecisionPrinter(total=2) as printer:
        printer.show(decision(outcome="blocked", reasons=(reason,)))
        printer.show(decision(outcome="no_data", reasons=()))
    assert "wrapped below" in " ".join(capsys.readouterr().out.split())


def test_a_window_that_is_learned_from_once_more_counts_its_rows_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    blocked = decision(outcome="blocked", cycle_key="p/3/digest", accepted=400, champion_after=1)
    more = replace(blocked, outcome="promoted", cycle_key="p/3/digest/trusted", champion_after=2)
    assert "from trusted rows" in line(more)
    summary([blocked, more])
    out = capsys.readouterr().out
    assert "1 window, 1 learned from once more: 1 blocked, 1 promoted. 400 rows accepted" in out
    assert "The champion is version 2." in out


def test_a_summary_counts(capsys: pytest.CaptureFixture[str]) -> None:
    summary(
        [
            decision(outcome="promoted", champion_after=3, accepted=5),
            decision(outcome="held", accepted=1_000, quarantined=2),
        ]
    )
    out = capsys.readouterr().out
    assert "2 windows: 1 promoted, 1 held. 1,005 rows accepted, 2 held back." in out
    assert "The champion is version 3." in out
