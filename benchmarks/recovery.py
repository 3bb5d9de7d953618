"""kill -9 of each member of the stack in the middle of a cycle: what is lost, and for how long.

    make bench-recovery

A window lands, the schedule picks it up, and as soon as its accepted rows are committed and its
decision is not, the member is killed. Seconds count from there: until the supervisor has the member
healthy again, and until the window is decided. Meanwhile a thread asks for the champion over and
over. Seconds differ from machine to machine; that each window is decided once, must not.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from ratchet.adapters.mlflow_registry import MlflowRegistry
from ratchet.contracts.columns import ACCEPTED, DECISIONS, KEY, LANDED, LANDED_LABELS, WINDOW
from ratchet.errors import StorageError
from ratchet.settings import prepare_environment
from tests import streams
from tests.stack import Stack, wait

FIRST_WINDOWS = 4  # decided before the first kill; one of them promotes
PATIENCE = 900.0  # seconds for one recovery; what is measured is printed, this only ends a failure
# Whom kill -9 meets: the member's own process, the flow run's, or both.
KILLS = ("flow run", "worker", "prefect", "mlflow", "s3", "postgres", "worker and flow run")


@dataclass(frozen=True)
class Recovery:
    """What one kill led to.

    Attributes:
        killed: one of :data:`KILLS`.
        window: the window that was half done.
        healthy: seconds until the member was healthy again; 0 for a flow run, which is no member.
        decided: seconds until the window was decided.
        run_state: what Prefect then said of the flow run that was under way.
        loads: how often the champion was loaded meanwhile, its digests verified.
        unreachable: how often its server did not answer instead.
    """

    killed: str
    window: str
    healthy: float
    decided: float
    run_state: str
    loads: int
    unreachable: int


@dataclass
class ChampionWatch:
    """Loads the champion over and over in a thread; ``wrong`` is what must never be seen."""

    stack: Stack
    loads: int = 0
    unreachable: int = 0
    wrong: list[str] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)

    def __enter__(self) -> ChampionWatch:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        models = registry(self.stack)
        while not self._stop.wait(2):  # each load is work for the server
            try:
                champion = models.alias("tiny", "champion")
                if champion is None:
                    self.wrong.append("no champion")
                    continue
                models.load("tiny", champion.version)
            except StorageError:
                self.unreachable += 1
            except Exception as error:  # whatever it is, a champion was not to be had
                self.wrong.append(f"{type(error).__name__}: {error}")
            else:
                self.loads += 1
                self.versions.append(champion.version)


def registry(stack: Stack) -> MlflowRegistry:
    """The stack's registry, as the user ``ratchet``."""
    port, password = stack.ports["mlflow"], stack.secrets.mlflow_ratchet
    return MlflowRegistry(
        f"http://ratchet:{password}@127.0.0.1:{port}", stack.project / "unused", patience=1.0
    )


def begin(stack: Stack) -> None:
    """Bring the stack up with its schedule, and let the first windows make a champion."""
    stack.begin(FIRST_WINDOWS + 1)
    wait(lambda: len(stack.decided()) >= FIRST_WINDOWS, PATIENCE)
    assert stack.decided()[-1].champion_after, "the first windows promote a model"


def kill_in_cycle(stack: Stack, killed: str) -> Recovery:
    """Land one more window, kill in the middle of its cycle, and wait until it is decided.

    Raises:
        AssertionError: it was not decided in time, or the champion was gone meanwhile.
    """
    index = stack.decided()[-1].window_index + 1
    stack.land(index + 1)  # the window is complete when a row of a later one has landed
    run = _wait_until_half_done(stack, index)
    before = stack.members()
    with ChampionWatch(stack) as champion:
        at = time.time()
        _kill(stack, killed)
        healthy = 0.0 if killed == "flow run" else _healthy_again(stack, before, killed, at)
        decided = wait(lambda: _decided_at(stack, index), PATIENCE)
    assert champion.wrong == [], champion.wrong
    made = stack.decided()
    allowed = {made[-1].champion_before, made[-1].champion_after}
    assert set(champion.versions) <= allowed, (champion.versions, allowed)
    state = stack.prefect("flow_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})[0]["state"]
    return Recovery(
        killed=killed,
        window=made[-1].window,
        healthy=round(healthy, 1),
        decided=round(decided - at, 1),
        run_state=state["name"],
        loads=champion.loads,
        unreachable=champion.unreachable,
    )


def assert_nothing_lost_or_doubled(stack: Stack) -> None:
    """Every window decided once, every row accepted once, one model version a promotion."""
    space, made = stack.workspace(), stack.decided()
    assert [d.window_index for d in made] == list(range(len(made)))
    phases = Counter((d["id"], d["phase"]) for d in space.tables.read(DECISIONS).to_pylist())
    assert set(phases.values()) == {1}, phases
    # A complete window's rows; beyond it one more window has landed.
    for table, windows in ((LANDED, len(made) + 1), (LANDED_LABELS, None), (ACCEPTED, len(made))):
        keys = space.tables.read(table, columns=[KEY])[KEY].to_pylist()
        assert len(keys) == len(set(keys)), table
        assert windows is None or len(keys) == windows * streams.ROWS, (table, len(keys))
    models = registry(stack)
    promoted = {d.champion_after for d in made if d.outcome == "promoted"}
    assert {v.version for v in models.versions("tiny")} == promoted
    champion = models.alias("tiny", "champion")
    assert champion is not None
    assert champion.version == made[-1].champion_after
    assert models.load("tiny", champion.version)


def _wait_until_half_done(stack: Stack, index: int) -> str:
    """Returns between two writes of the window's cycle; gives the id of its flow run."""
    from infra.local import s3

    client = s3.client(stack.ports["s3"], "ratchet", stack.secrets.s3_ratchet)
    deadline = time.monotonic() + PATIENCE

    def there(table: str) -> bool:
        prefix = f"tiny/{table}/{WINDOW}={index}/"
        return bool(client.list_objects_v2(Bucket="tables", Prefix=prefix)["KeyCount"])

    while time.monotonic() < deadline:
        if there(ACCEPTED):
            running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
            runs = stack.prefect("flow_runs/filter", {**running, "sort": "START_TIME_DESC"})
            assert not there(DECISIONS), "the cycle ended before it could be disturbed"
            return str(runs[0]["id"])
        time.sleep(0.05)
    raise AssertionError(f"no cycle of window {index} began within {PATIENCE:g} s")


def _kill(stack: Stack, killed: str) -> None:
    worker = psutil.Process(stack.members()["worker"]["pid"])
    flow_runs = [p for p in worker.children(recursive=True) if "prefect" in " ".join(p.cmdline())]
    assert flow_runs, "the worker has no flow run under way"
    doomed = [psutil.Process(stack.members()[m]["pid"]) for m in _members(killed)]
    for process in doomed + (flow_runs if "flow run" in killed else []):
        process.send_signal(signal.SIGKILL)


def _members(killed: str) -> list[str]:
    return [name for name in killed.split(" and ") if name != "flow run"]


def _healthy_again(stack: Stack, before: dict[str, Any], killed: str, at: float) -> float:
    """Seconds after ``at`` when the killed members were healthy again."""

    def again() -> bool:
        now = stack.members()
        return all(
            now[m]["restarts"] > before[m]["restarts"] and now[m]["state"] == "healthy"
            for m in _members(killed)
        )

    wait(again, PATIENCE)
    return time.time() - at


def _decided_at(stack: Stack, index: int) -> float | None:
    """Seconds since 1970 when the window's decision was committed; None before."""
    rows = stack.workspace().tables.read(DECISIONS, columns=[WINDOW, "phase", "at"]).to_pylist()
    done = [r["at"] for r in rows if r[WINDOW] == index and r["phase"] == "done"]
    return done[0].timestamp() if done else None


def main() -> None:
    """Kill one after the other and print the table."""
    prepare_environment()
    with TemporaryDirectory(prefix="ratchet-recovery-") as scratch:
        stack = Stack(Path(scratch))
        try:
            begin(stack)
            print("| kill -9 of | healthy again, s | window decided, s | its flow run | champion |")
            print("|---|---|---|---|---|")
            for killed in KILLS:
                found = kill_in_cycle(stack, killed)
                print(
                    f"| {found.killed} | {found.healthy:.1f} | {found.decided:.1f} "
                    f"| {found.run_state} | loaded {found.loads} times, server away "
                    f"{found.unreachable} times |",
                    flush=True,
                )
            assert_nothing_lost_or_doubled(stack)
            print(f"\n{len(stack.decided())} windows, each decided once; no row lost or doubled.")
        finally:
            stack.call("down")


if __name__ == "__main__":
    sys.exit(main())
