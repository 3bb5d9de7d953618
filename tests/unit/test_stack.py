"""The local stack's parts that need no server: secrets, the supervisor, what is declared."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import pytest
import yaml

from infra.local.member import Member, Running, end_session
from infra.local.secrets import StackError, load
from infra.local.servers import members, user_environment
from infra.local.supervisor import Supervisor, is_up, sole
from ratchet.settings import StackSettings
from tests import streams
from tests.s3_server import free_ports

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"PATH": os.environ["PATH"]}


# --- secrets -------------------------------------------------------------------------------------


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path):
    made = load(tmp_path / "stack")
    path = tmp_path / "stack" / "secrets.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert load(tmp_path / "stack") == made
    values = list(asdict(made).values())
    assert len(set(values)) == len(values)
    assert not any(v in repr(made) for v in values)


@pytest.mark.parametrize("password", ["", "admin", "password"])
def test_57_an_empty_or_default_password_refuses_to_start(tmp_path, password):
    load(tmp_path)
    path = tmp_path / "secrets.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prefect": password}))
    with pytest.raises(StackError, match="prefect: empty, or shorter than 20 characters"):
        load(tmp_path)


def test_secrets_that_others_can_read_are_refused(tmp_path):
    load(tmp_path)
    (tmp_path / "secrets.json").chmod(0o644)
    with pytest.raises(StackError, match="others can read it; expected mode 0600"):
        load(tmp_path)


def test_a_missing_secret_is_named(tmp_path):
    load(tmp_path)
    path = tmp_path / "secrets.json"
    kept = json.loads(path.read_text())
    del kept["s3_filer"]
    path.write_text(json.dumps(kept))
    with pytest.raises(StackError, match="s3_filer"):
        load(tmp_path)


def every_member(home):
    place = StackSettings(home=home)
    secrets = load(home)
    return [m for level in members(place, ROOT, secrets) for m in level], secrets


def test_56_no_secret_is_among_the_arguments_of_a_process(tmp_path):
    found, secrets = every_member(tmp_path)
    for member in found:
        arguments = " ".join(member.command)
        for name, value in asdict(secrets).items():
            assert value not in arguments, (member.name, name)
            assert value not in member.address


def test_every_member_listens_on_loopback_and_has_telemetry_off(tmp_path):
    found, _ = every_member(tmp_path)
    assert [m.name for m in found] == ["postgres", "s3", "mlflow", "prefect", "worker", "metrics"]
    for member in found:
        assert member.address.removeprefix("http://").startswith("127.0.0.1:")
        assert member.environment["DO_NOT_TRACK"] == "1"
        assert "0.0.0.0" not in " ".join(member.command)  # noqa: S104


def test_the_exporter_gets_no_password_but_that_of_the_tables(tmp_path):
    found, secrets = every_member(tmp_path)
    exporter = next(m for m in found if m.name == "metrics")
    given = " ".join(exporter.environment.values())
    held = {name for name, value in asdict(secrets).items() if value in given}
    assert held == {"s3_ratchet"}


@pytest.mark.slow
def test_the_exporter_starts_alone_reads_tables_on_s3_and_writes_nothing(tmp_path, s3):
    """The member as the stack starts it, against another S3 server."""
    streams.project(tmp_path)
    bucket = s3.make_bucket()
    (port,) = free_ports(1)
    place = StackSettings(home=tmp_path / "stack", metrics_port=port)
    secrets = load(tmp_path / "stack")
    found = [m for level in members(place, tmp_path, secrets) for m in level]
    declared = next(m for m in found if m.name == "metrics")
    elsewhere = {
        "RATCHET_ROOT": f"s3://{bucket}/tables",
        "RATCHET_S3_ENDPOINT": s3.endpoint,
        "RATCHET_S3_ACCESS_KEY": s3.access_key,
        "RATCHET_S3_SECRET_KEY": s3.secret_key,
    }
    member = replace(declared, environment={**declared.environment, **elsewhere})
    running = Running(member, tmp_path)
    running.start()
    try:
        deadline = time.monotonic() + 90
        while not running.check() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert running.healthy, running.trouble
        said = httpx.get(member.address, timeout=30).text
        assert 'ratchet_up{pipeline="tiny"} 1.0' in said, (tmp_path / "metrics.log").read_text()
        assert 'ratchet_lease_held{pipeline="tiny"} 0.0' in said
    finally:
        running.end()
    assert "Contents" not in s3.client().list_objects_v2(Bucket=bucket)
    assert s3.secret_key not in (tmp_path / "metrics.log").read_text()


def test_the_worker_gets_no_password_of_a_database_or_an_administrator(tmp_path):
    found, secrets = every_member(tmp_path)
    worker = next(m for m in found if m.name == "worker")
    given = set(" ".join(worker.environment.values()).replace(":", " ").split())
    for name in ("postgres", "postgres_prefect", "postgres_mlflow", "mlflow_admin", "s3_admin"):
        assert getattr(secrets, name) not in given, name
    person = user_environment(StackSettings(home=tmp_path), ROOT, secrets)
    assert person.items() <= worker.environment.items()


# --- the supervisor ------------------------------------------------------------------------------


def sleeper(name, port, ready=lambda: None, code="import time; time.sleep(600)", **more):
    command = (sys.executable, "-c", code)
    return Member(name, command, ENVIRONMENT, ready, f"127.0.0.1:{port}", **more)


class InThread:
    """A supervisor in a thread; its signal handlers are left out."""

    def __init__(self, home, levels, monkeypatch):
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        self.home = home
        self.supervisor = Supervisor(home, levels)
        self.error = None
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            self.supervisor.run()
        except Exception as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.supervisor.stopping = True
        self.thread.join(30)

    def status(self):
        path = self.home / "status.json"
        return json.loads(path.read_text()) if path.exists() else {"state": "", "members": []}

    def wait(self, state, seconds=20):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.status()
            if state(found):
                return found
            time.sleep(0.05)
        raise AssertionError(self.status())


def pids(found):
    return {m["name"]: m["pid"] for m in found["members"]}


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_members_start_in_order_are_restarted_and_leave_nothing_behind(tmp_path, monkeypatch):
    seen = []
    one, two = free_ports(2)
    levels = [
        [sleeper("first", one, prepare=lambda: seen.append("first"))],
        [sleeper("second", two, prepare=lambda: seen.append("second"))],
    ]
    with InThread(tmp_path, levels, monkeypatch) as run:
        before = pids(run.wait(lambda s: s["state"] == "up"))
        assert seen == ["first", "second"]
        os.kill(before["first"], signal.SIGKILL)
        after = run.wait(
            lambda s: s["members"][0]["restarts"] == 1 and s["members"][0]["state"] == "healthy"
        )
        assert pids(after)["first"] not in (before["first"], None)
        assert pids(after)["second"] == before["second"]
    assert run.error is None
    assert run.status()["state"] == "down"
    assert all(is_gone(pid) for pid in (*before.values(), *pids(after).values()))


def test_a_member_that_ends_at_once_is_named_with_what_it_said(tmp_path, monkeypatch):
    (port,) = free_ports(1)

    def never():
        raise RuntimeError("no answer")

    member = sleeper("broken", port, never, "print('cannot open the book'); raise SystemExit(3)")
    with InThread(tmp_path, [[member]], monkeypatch) as run:
        run.thread.join(20)
    assert isinstance(run.error, StackError)
    assert "broken ended" in str(run.error)
    assert "cannot open the book" in str(run.error)
    assert run.status()["state"] == "failed"


@pytest.mark.parametrize("inner", [False, True])
def test_a_taken_port_is_named(tmp_path, monkeypatch, inner):
    monkeypatch.setattr("infra.local.supervisor.FREE_SECONDS", 0.5)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        own = free_ports(1)[0] if inner else port
        member = replace(sleeper("s3", own), inner=(port,) if inner else ())
        with InThread(tmp_path, [[member]], monkeypatch) as run:
            run.thread.join(20)
    assert f"port {port} for s3: another program listens there" in str(run.error)


def test_a_stack_has_one_supervisor(tmp_path):
    assert not is_up(tmp_path)
    with sole(tmp_path):
        assert is_up(tmp_path)
        with pytest.raises(StackError, match="is up already"), sole(tmp_path):
            pass
    assert not is_up(tmp_path)


def test_a_session_is_ended_with_the_children_that_do_not_listen(tmp_path):
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    code = (
        "import subprocess, sys, time; "
        f"p = subprocess.Popen([sys.executable, '-c', {stubborn!r}]); "
        "print(p.pid, flush=True); time.sleep(600)"
    )
    running = Running(sleeper("parent", 1, code=code), tmp_path)
    running.start()
    log = tmp_path / "parent.log"
    deadline = time.monotonic() + 20
    while not log.read_text().strip() and time.monotonic() < deadline:
        time.sleep(0.05)
    child = int(log.read_text())
    assert not is_gone(child)
    running.end()
    assert is_gone(child)
    end_session(child)  # a session that is gone is no error


SCHEDULED = {
    "flows.retrain.retrain": True,
    "flows.backfill.backfill": False,
    "flows.watch.watch": True,
    "flows.approve.approve": False,
}

# --- deployments ---------------------------------------------------------------------------------


def declared():
    return yaml.safe_load((ROOT / "prefect.yaml").read_text())


@pytest.mark.slow
def test_every_entry_point_loads_from_a_foreign_directory(tmp_path):
    code = (
        "import sys; from prefect.flows import load_flow_from_entrypoint as load\n"
        "for name in sys.argv[1:]: print(load(name).name)"
    )
    entries = [d["entrypoint"] for d in declared()["deployments"]]
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")}
    done = subprocess.run(
        [sys.executable, "-c", code, *entries],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["retrain", "backfill", "watch", "approve"]


def test_each_pipeline_has_its_deployments_and_nothing_is_pulled():
    found = declared()
    assert found["pull"] == []
    for path in (ROOT / "pipelines").glob("*.toml"):
        mine = [d for d in found["deployments"] if d["parameters"]["pipeline"] == path.stem]
        assert {d["entrypoint"] for d in mine} == set(SCHEDULED)
        for each in mine:
            assert each["concurrency_limit"]["limit"] == 1
            assert each["concurrency_limit"]["collision_strategy"] == "ENQUEUE"
            assert each["work_pool"] == {"name": "ratchet"}
            assert ("schedules" in each) == SCHEDULED[each["entrypoint"]]
            assert ("triggers" in each) == (each["entrypoint"] == "flows.retrain.retrain")


@pytest.mark.parametrize(
    ("flow", "given", "wrong"),
    [
        ("retrain.retrain", {"pipeline": "../etc"}, "pipeline"),
        ("retrain.retrain", {"pipeline": "flights", "window": "last week"}, "window"),
        ("backfill.backfill", {"pipeline": "flights", "start": "2013-3-1"}, "start"),
        ("backfill.backfill", {"pipeline": "flights", "end": "x" * 99}, "end"),
        ("backfill.backfill", {"pipeline": "flights", "replay": "A B"}, "replay"),
        ("backfill.backfill", {"pipeline": "flights", "dry_run": "perhaps"}, "dry_run"),
        ("approve.approve", {"pipeline": "flights", "by": "x", "reason": "because"}, "by"),
        ("approve.approve", {"pipeline": "flights", "by": "kim", "reason": ""}, "reason"),
        (
            "approve.approve",
            {"pipeline": "flights", "by": "kim", "reason": "fine", "answer": "maybe"},
            "answer",
        ),
        ("watch.watch", {"pipeline": ""}, "pipeline"),
    ],
)
def test_a_form_that_is_filled_in_wrongly_is_refused(flow, given, wrong):
    import importlib

    from prefect.exceptions import ParameterTypeError
    from prefect.utilities.callables import parameter_schema

    module, name = flow.split(".")
    found = getattr(importlib.import_module(f"flows.{module}"), name)
    with pytest.raises(ParameterTypeError, match=wrong):
        found.validate_parameters(given)
    for described in parameter_schema(found.fn).model_dump()["properties"].values():
        assert described["description"]


def test_what_a_form_takes_is_taken():
    from flows.backfill import backfill

    for start in ("2013-03-05", "2013-03-05T06:00", "2013-03-05 06:00:00Z", "-3000", None):
        given = {"pipeline": "flights", "start": start, "replay": "audit-1", "dry_run": True}
        assert backfill.validate_parameters(given)["start"] == start


def test_a_silent_run_is_given_up_after_more_than_two_beats():
    from infra.automations import BEAT_SECONDS, silent_runs_crash

    trigger = silent_runs_crash().trigger
    assert trigger.within.total_seconds() > 2 * BEAT_SECONDS
    assert trigger.expect == {"prefect.flow-run.*"}
    assert trigger.for_each == {"prefect.resource.id"}
