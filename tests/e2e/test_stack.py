"""The local stack as an operator has it: up, a schedule, members killed, down, up again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local import s3
from infra.local.secrets import Secrets, load
from ratchet.contracts.lineage import Decision
from ratchet.settings import StackSettings
from tasks import decisions
from tasks.workspace import Workspace
from tests import streams
from tests.postgres_server import pass_through
from tests.s3_server import free_ports

pytestmark = pytest.mark.slow

DEPLOYMENTS = """
name: tiny
pull: []
deployments:
  - name: tiny
    entrypoint: flows.retrain.retrain
    parameters: {pipeline: tiny}
    schedules: [{interval: 60}]
    concurrency_limit: {limit: 1, collision_strategy: ENQUEUE, grace_period_seconds: 120}
    work_pool: {name: ratchet}
  - name: tiny
    entrypoint: flows.backfill.backfill
    work_pool: {name: ratchet}
"""
PATIENCE = 300.0  # what takes seconds on an idle machine takes minutes on a busy one


class Stack:
    """A stack of its own ports and directories, driven by its commands."""

    def __init__(self, home: Path) -> None:
        self.project = home
        ports = free_ports(5)
        self.inner = _free_span(len(s3.INNER))
        names = ("postgres", "s3", "mlflow", "prefect", "metrics")
        self.ports = dict(zip(names, ports, strict=True))
        self.place = StackSettings(
            home=home / "stack",
            s3_inner_port=self.inner,
            **{f"{name}_port": port for name, port in self.ports.items()},
        )
        chosen = self.place.model_dump()
        self.environment = {
            **os.environ,
            **{f"RATCHET_STACK_{name.upper()}": str(value) for name, value in chosen.items()},
        }

    def call(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "infra.local", command],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def up(self) -> str:
        done = self.call("up")
        log = self.project / "stack" / "supervisor.log"
        said = log.read_text()[-3000:] if log.exists() else ""
        assert done.returncode == 0, done.stdout + done.stderr + said
        return done.stdout

    @property
    def secrets(self) -> Secrets:
        return load(self.project / "stack")

    def members(self) -> dict[str, dict[str, Any]]:
        found = json.loads((self.project / "stack" / "status.json").read_text())
        return {m["name"]: m for m in found["members"]}

    def land(self, index: int) -> None:
        client = s3.client(self.ports["s3"], "sender", self.secrets.s3_sender)
        for key, data in streams.files_of(index).items():
            client.put_object(Bucket="landing", Key=key, Body=data)

    def workspace(self) -> Workspace:
        """The pipeline on the stack's S3, for reading."""
        return streams.workspace(
            self.project,
            root="s3://tables",
            landing="s3://",
            s3_endpoint=s3.endpoint(self.ports["s3"]),
            s3_access_key="ratchet",
            s3_secret_key=self.secrets.s3_ratchet,
        )

    def decided(self, replay: str | None = None) -> list[Decision]:
        return decisions.done(replace(self.workspace(), replay=replay))

    def deployment(self, flow: str) -> str:
        """The id of the deployment of this flow."""
        (found,) = self.prefect("deployments/filter", {"flows": {"name": {"any_": [flow]}}})
        return str(found["id"])

    def start(self, flow: str, asked: dict[str, Any]) -> str:
        """The id of a new run of this flow's deployment."""
        made = self.prefect(f"deployments/{self.deployment(flow)}/create_flow_run", asked)
        return str(made["id"])

    def state(self, run: str) -> dict[str, Any]:
        """A run's state."""
        (found,) = self.prefect("flow_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        state: dict[str, Any] = found["state"]
        return state

    def ended(self, run: str) -> str | None:
        """The type of the state in which a run ended; None while it has not."""
        kind = str(self.state(run)["type"])
        return kind if kind in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

    def why(self, run: str) -> str:
        """A run's state, in words, and the last lines of its log."""
        state, asked = self.state(run), {"logs": {"flow_run_id": {"any_": [run]}}}
        lines = self.prefect("logs/filter", {**asked, "sort": "TIMESTAMP_DESC", "limit": 30})
        said = "\n".join(line["message"] for line in reversed(lines))
        return f"{state['type']}: {state['message']}\n{said}"

    def prefect(self, path: str, body: dict[str, Any]) -> Any:
        place = f"http://127.0.0.1:{self.ports['prefect']}/api/{path}"
        answer = httpx.post(place, json=body, auth=("ratchet", self.secrets.prefect), timeout=20)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def mlflow(self, path: str, **query: str) -> dict[str, Any]:
        place = f"http://127.0.0.1:{self.ports['mlflow']}/api/2.0/mlflow/{path}"
        auth = ("ratchet", self.secrets.mlflow_ratchet)
        answer = httpx.get(place, params=query, auth=auth, timeout=20)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def _free_span(count: int) -> int:
    """The first of ``count`` free ports in a row."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    start = 20000 + 4000 * (worker % 3)  # workers at once must not find the same ones
    for first in range(start + os.getpid() % 1000, start + 4000 - count, count):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for i, each in enumerate(sockets):
                each.bind(("127.0.0.1", first + i))
            return first
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
    raise AssertionError("no free ports in a row")


def wait(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """The first true value; what it last was, or raised, where there is none in time."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            if last := what():
                return last
        except Exception as error:
            last = error
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds:g} s; last: {last!r}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("stack")
    pass_through(home)
    streams.project(home, 0)
    (home / "prefect.yaml").write_text(DEPLOYMENTS)
    made = Stack(home)
    try:
        made.up()
        yield made
    finally:
        made.call("down")


def test_the_schedule_runs_what_landed_and_the_operator_sees_it(stack: Stack) -> None:
    for index in range(5):
        stack.land(index)
    made = wait(lambda: (found := stack.decided()) and len(found) >= 4 and found)
    assert [d.window for d in made] == ["0", "1000", "2000", "3000"]
    assert "promoted" in {d.outcome for d in made}
    champion = made[-1].champion_after
    assert champion is not None

    found = stack.mlflow("registered-models/alias", name="tiny", alias="champion")
    assert found["model_version"]["version"] == str(champion)
    completed = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    runs = wait(lambda: stack.prefect("flow_runs/filter", completed))
    assert all(run["auto_scheduled"] for run in runs)
    shown = {a["key"] for a in stack.prefect("artifacts/filter", {}) if a["key"]}
    for window in ("0", "1000", "2000", "3000"):
        assert f"tiny-{window}-decision" in shown
    every = stack.prefect("artifacts/filter", {})
    said = httpx.get(f"http://127.0.0.1:{stack.ports['metrics']}/metrics", timeout=30).text
    assert 'ratchet_up{pipeline="tiny"} 1.0' in said
    assert f'ratchet_champion_version{{pipeline="tiny"}} {float(champion)}' in said
    link = next(a for a in every if (a["key"] or "").endswith("mlflow"))
    address = link["data"].split("(")[1].split(")")[0]
    assert address.startswith(f"http://127.0.0.1:{stack.ports['mlflow']}/#/experiments/")


def test_up_again_changes_nothing(stack: Stack) -> None:
    before = {name: m["pid"] for name, m in stack.members().items()}
    said = stack.up()
    assert {name: m["pid"] for name, m in stack.members().items()} == before
    credentials = stack.project / "stack" / "credentials.env"
    assert str(credentials) in said
    assert credentials.stat().st_mode & 0o777 == 0o600
    assert stack.secrets.prefect not in said
    assert stack.call("status").returncode == 0


def test_each_party_may_do_just_what_it_needs(stack: Stack) -> None:
    from botocore.exceptions import ClientError

    port, secrets = stack.ports["s3"], stack.secrets
    sender = s3.client(port, "sender", secrets.s3_sender)
    ratchet = s3.client(port, "ratchet", secrets.s3_ratchet)
    mlflow = s3.client(port, "mlflow", secrets.s3_mlflow)
    key = "features/w000.parquet"
    for refused in (
        lambda: sender.get_object(Bucket="landing", Key=key),
        lambda: sender.put_object(Bucket="tables", Key="forged", Body=b"x"),
        lambda: ratchet.put_object(Bucket="landing", Key=key, Body=b"x"),
        lambda: ratchet.put_object(Bucket="artifacts", Key="forged", Body=b"x"),
        lambda: mlflow.get_object(Bucket="tables", Key="_stack/probe"),
        lambda: s3.client(port, "ratchet", "wrong").list_objects_v2(Bucket="tables"),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|Denied|SignatureDoesNotMatch"):
            refused()
    assert ratchet.get_object(Bucket="landing", Key=key)["Body"].read()


def test_53_54_strangers_are_refused(stack: Stack) -> None:
    prefect = f"http://127.0.0.1:{stack.ports['prefect']}/api/flows/filter"
    mlflow = f"http://127.0.0.1:{stack.ports['mlflow']}/api/2.0/mlflow/experiments/search"
    for place in (prefect, mlflow):
        assert httpx.post(place, json={}).status_code == 401
    foreign = httpx.post(mlflow, json={}, headers={"Host": "evil.example"})
    assert foreign.status_code == 403
    filer = stack.inner + s3.INNER.index("filer.port")
    for method in ("GET", "PUT", "DELETE"):
        place = f"http://127.0.0.1:{filer}/buckets/tables/_stack/probe"
        assert httpx.request(method, place).status_code == 401


def test_27_every_member_may_be_killed_and_the_next_windows_are_decided_once(stack: Stack) -> None:
    decided = len(stack.decided())
    for step, name in enumerate(("s3", "postgres", "mlflow", "prefect", "worker", "metrics")):
        stack.land(decided + 1 + step)
        pid = stack.members()[name]["pid"]
        os.kill(pid, signal.SIGKILL)
        wait(lambda n=name: stack.members()[n]["restarts"] >= 1, 60)
        wait(lambda: all(m["state"] == "healthy" for m in stack.members().values()), 90)
    wanted = decided + 6
    # A run that its worker had only submitted keeps the slot for the whole grace period.
    made = wait(lambda: (found := stack.decided()) and len(found) >= wanted and found, 300)
    assert set(Counter(d.cycle_key for d in made).values()) == {1}
    champion = stack.mlflow("registered-models/alias", name="tiny", alias="champion")
    assert champion["model_version"]["version"] == str(made[-1].champion_after)


def test_27_the_supervisor_may_be_killed_and_up_starts_everything_again(stack: Stack) -> None:
    decided = len(stack.decided())
    before = {name: m["pid"] for name, m in stack.members().items()}
    supervisor = json.loads((stack.project / "stack" / "status.json").read_text())["supervisor"]
    os.kill(supervisor, signal.SIGKILL)
    stack.up()  # at once, while what was left is still ending
    assert not any(Path(f"/proc/{pid}").exists() for pid in before.values())
    assert set(before) == set(stack.members())
    stack.land(decided + 1)
    made = wait(lambda: (found := stack.decided()) and len(found) > decided and found, 300)
    assert set(Counter(d.cycle_key for d in made).values()) == {1}


def test_a_backfill_cancelled_in_the_middle_is_resumed_and_touches_no_champion(
    stack: Stack,
) -> None:
    served = stack.mlflow("registered-models/alias", name="tiny", alias="champion")
    wanted = [d.window for d in stack.decided()]
    stack.prefect(f"deployments/{stack.deployment('retrain')}/pause_deployment", {})
    asked = {"parameters": {"pipeline": "tiny", "replay": "cancelled"}}
    run = stack.start("backfill", asked)  # a scheduled run at work is waited for
    wait(lambda: len(stack.decided("cancelled")) >= 2 or stack.ended(run))
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    stack.prefect(f"flow_runs/{run}/set_state", cancelling)
    assert wait(lambda: stack.ended(run)) == "CANCELLED", stack.why(run)
    done = [d.window for d in stack.decided("cancelled")]
    assert 2 <= len(done) < len(wanted)
    again = stack.start("backfill", asked)  # at once: what the first may still hold is waited for
    assert wait(lambda: stack.ended(again)) == "COMPLETED", stack.why(again)
    assert [d.window for d in stack.decided("cancelled")] == wanted
    assert stack.mlflow("registered-models/alias", name="tiny", alias="champion") == served
    stack.prefect(f"deployments/{stack.deployment('retrain')}/resume_deployment", {})


def test_down_leaves_nothing_and_up_finds_everything_again(stack: Stack) -> None:
    before = stack.decided()
    pids = [m["pid"] for m in stack.members().values()]
    assert stack.call("down").returncode == 0
    assert stack.call("status").returncode == 1
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    for port in stack.ports.values():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    stack.up()
    assert [d.digest for d in stack.decided()][: len(before)] == [d.digest for d in before]
    stack.mlflow("registered-models/alias", name="tiny", alias="champion")
    logs = "".join(p.read_text(errors="replace") for p in (stack.project / "stack").rglob("*.log"))
    for secret in vars(stack.secrets).values():
        assert secret not in logs
