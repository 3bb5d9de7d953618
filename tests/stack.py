"""A local stack of its own ports and directories, driven by its commands as an operator does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from infra.local import s3
from infra.local.secrets import Secrets, load
from ratchet.contracts.lineage import Decision
from ratchet.settings import StackSettings
from tasks import decisions
from tasks.workspace import Workspace
from tests import streams
from tests.postgres_server import pass_through
from tests.s3_server import free_ports

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
PATIENCE = 600.0  # what takes seconds on an idle machine takes minutes on a busy one


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

    def begin(self, windows: int) -> None:
        """Bring it up with the tiny pipeline, its schedule, and so many landed windows."""
        pass_through(self.project)
        streams.project(self.project, 0)
        (self.project / "prefect.yaml").write_text(DEPLOYMENTS)
        self.up()
        for index in range(windows):
            self.land(index)

    def land(self, index: int, folder: str = "") -> None:
        client = s3.client(self.ports["s3"], "sender", self.secrets.s3_sender)
        for key, data in streams.files_of(index).items():
            client.put_object(Bucket="landing", Key=folder + key, Body=data)

    def workspace(self, pipeline: str = "tiny") -> Workspace:
        """The pipeline on the stack's S3, for reading."""
        return streams.workspace(
            self.project,
            pipeline=pipeline,
            root="s3://tables",
            landing="s3://",
            s3_endpoint=s3.endpoint(self.ports["s3"]),
            s3_access_key="ratchet",
            s3_secret_key=self.secrets.s3_ratchet,
        )

    def decided(self, replay: str | None = None, pipeline: str = "tiny") -> list[Decision]:
        return decisions.done(replace(self.workspace(pipeline), replay=replay))

    def deployment(self, flow: str) -> str:
        """The id of the deployment of this flow."""
        (found,) = self.prefect("deployments/filter", {"flows": {"name": {"any_": [flow]}}})
        return str(found["id"])

    def schedule(self, *, on: bool) -> None:
        """Let the schedule of ``retrain`` run, or pause it."""
        how = "resume" if on else "pause"
        self.prefect(f"deployments/{self.deployment('retrain')}/{how}_deployment", {})

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
    start = 20000 + 3000 * (worker % 4)  # workers at once must not find the same ones
    for first in range(start + os.getpid() % 1000, start + 3000 - count, count):
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
        time.sleep(1)
    raise AssertionError(f"not within {seconds:g} s; last: {last!r}")
