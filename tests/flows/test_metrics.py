"""``ratchet metrics`` over the tables of real cycles."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from ratchet.adapters.prometheus import server
from ratchet.contracts.columns import DECISIONS
from ratchet.contracts.readings import Readings
from ratchet.settings import Settings, settings
from tasks.meters import Meters
from tests.cli import Terminal, terminal
from tests.s3_server import free_ports
from tests.streams import land_window, project, window_rows, workspace

P = ("tiny",)


@pytest.fixture
def ratchet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Terminal]:
    yield terminal(tmp_path, monkeypatch, capsys)
    settings.cache_clear()


def values(text: str) -> dict[str, float]:
    """Samples by name, pipeline and the other label's value."""

    def key(name: str, labels: dict[str, str]) -> str:
        rest = [v for k, v in labels.items() if k != "pipeline"]
        return " ".join([name, labels["pipeline"], *rest])

    return {key(s.name, s.labels): s.value for f in parse(text) for s in f.samples}


def where(home: Path) -> Settings:
    return Settings(home=home, root=str(home / "tables"), state=home / "state")


def test_the_numbers_are_those_of_the_tables_and_survive_every_process(ratchet: Terminal) -> None:
    project(ratchet.home, 5)
    rows = window_rows(5).to_pylist()
    rows[0]["x"] = 99.0
    land_window(ratchet.home, 5, pa.Table.from_pylist(rows))
    land_window(ratchet.home, 6)
    assert ratchet("backfill", "tiny", "--to", "3000").code == 0
    once = values(ratchet("metrics").out)
    assert once["ratchet_cycles_total tiny promoted"] == 1
    assert once["ratchet_cycles_total tiny held"] == 2
    assert once["ratchet_undecided_windows tiny"] == 3
    assert once["ratchet_champion_version tiny"] == 1
    assert once["ratchet_lease_held tiny"] == 0
    assert ratchet("backfill", "tiny").code == 0
    then = values(ratchet("metrics", "--once").out)
    assert then["ratchet_undecided_windows tiny"] == 0
    assert then["ratchet_rows_total tiny in"] == 6 * 400
    assert then["ratchet_rows_total tiny quarantined"] == 1
    assert then["ratchet_open_quarantine_entries tiny"] == 1
    assert then["ratchet_label_lag_windows tiny"] >= 0
    assert then["ratchet_cycle_duration_seconds_count tiny"] == 6
    assert then["ratchet_holdout_loss tiny candidate"] > 0
    assert values(ratchet("metrics").out) == then  # another process, the same numbers


def test_what_has_not_changed_is_not_read_again(
    ratchet: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.meters.FRESH_SECONDS", 0.0)
    project(ratchet.home, 4)
    assert ratchet("backfill", "tiny", "--to", "2000").code == 0
    meters = Meters(where(ratchet.home))
    first = meters.read()
    source = meters._sources["tiny"][1]
    reads: list[str] = []
    read = source.tables.read
    monkeypatch.setattr(
        source.tables, "read", lambda table, *a, **k: (reads.append(table), read(table, *a, **k))[1]
    )
    assert meters.read() == first
    assert reads == []
    assert ratchet("backfill", "tiny").code == 0
    again = meters.read()
    assert DECISIONS in reads
    assert again["ratchet_undecided_windows"][P] == 0


def test_a_pipeline_that_cannot_be_read_says_so_and_hides_no_other(ratchet: Terminal) -> None:
    project(ratchet.home, 3)
    assert ratchet("backfill", "tiny").code == 0
    (ratchet.home / "pipelines" / "other.toml").write_text("name = 3")
    found = Meters(where(ratchet.home)).read()
    assert found["ratchet_up"] == {("other",): 0.0, P: 1.0}
    log = ratchet.home / "tables" / "tiny" / DECISIONS / "_delta_log"
    sorted(log.glob("*.json"))[0].unlink()
    found = Meters(where(ratchet.home)).read()
    assert found == {"ratchet_up": {("other",): 0.0, P: 0.0}}


def test_a_run_that_works_is_seen(ratchet: Terminal) -> None:
    project(ratchet.home, 1)
    space = workspace(ratchet.home, root=str(ratchet.home / "tables"), state=ratchet.home / "state")
    meters = Meters(where(ratchet.home))
    with space.lease.hold("a run"):
        assert meters.read()["ratchet_lease_held"] == {P: 1.0}


def test_53_a_foreign_host_is_refused_and_openmetrics_is_spoken() -> None:
    def read() -> Readings:
        return {"ratchet_up": {P: 1.0}}

    made = server(read, "127.0.0.1", 0)
    port = made.server_address[1]
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        place = f"http://127.0.0.1:{port}/metrics"
        answer = httpx.get(place)
        assert values(answer.text) == {"ratchet_up tiny": 1}
        assert httpx.get(place, headers={"Host": "evil.example"}).status_code == 403
        assert httpx.get(place, headers={"Host": f"evil.example:{port}"}).status_code == 403
        assert httpx.get(place, headers={"Host": f"localhost:{port}"}).status_code == 200
        asked = {"Accept": "application/openmetrics-text; version=1.0.0"}
        assert httpx.get(place, headers=asked).text.endswith("# EOF\n")
        assert httpx.post(place, content=b"x").status_code in (200, 405)
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def test_the_command_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    project(tmp_path)
    (port,) = free_ports(1)
    names = {"HOME": tmp_path, "ROOT": tmp_path / "tables", "STATE": tmp_path / "state"}
    code = (
        "import sys; from ratchet.cli.main import main\n"
        f"sys.argv = ['ratchet', 'metrics', '--serve', '127.0.0.1:{port}']\n"
        "main()\n"
        "heavy = ('prefect', 'mlflow', 'xgboost', 'great_expectations', 'evidently', 'pandas')\n"
        "print('HEAVY', [m for m in heavy if m in sys.modules])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **{f"RATCHET_{k}": str(v) for k, v in names.items()}},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
                break
            except httpx.TransportError:
                time.sleep(0.2)
        assert values(answer.text)["ratchet_up tiny"] == 1
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert said.splitlines()[-1] == "HEAVY []"


@pytest.mark.parametrize("place", ["9464", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:99999", ":80"])
def test_a_wrong_address_is_named(ratchet: Terminal, place: str) -> None:
    said = ratchet("metrics", "--serve", place)
    assert said.code == 2 and "expected HOST:PORT" in said.err


def test_a_taken_port_is_named(ratchet: Terminal) -> None:
    project(ratchet.home)
    made = server(dict, "127.0.0.1", 0)
    try:
        said = ratchet("metrics", "--serve", f"127.0.0.1:{made.server_address[1]}")
        assert said.code == 2 and "in use" in said.err
        assert ratchet("metrics", "--once", "--serve", "127.0.0.1:1").code == 2
    finally:
        made.server_close()
