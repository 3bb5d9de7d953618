"""What the local stack costs: to start, to keep, and per cycle.

    make bench-stack

Starts a stack of its own ports in a scratch directory, cold and then again; measures memory and CPU
of each member while nothing runs; then runs the same small windows (400 rows) in five ways, each in
a process of its own, from a plain call on embedded stores to a flow run on the stack's servers.
Seconds differ from machine to machine; the ratios to the plain call are what counts.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from infra.local.servers import user_environment
from ratchet.settings import plain_environment
from tests import streams
from tests.postgres_server import pass_through
from tests.stack import DEPLOYMENTS, Stack

WARM, TIMED = 5, 6  # windows before those that are timed, and those
IDLE_SECONDS = 30.0
# name: (whether a Prefect flow runs it, whether Prefect's server is the stack's, S3 and MLflow too)
WAYS = {
    "a plain call, embedded stores": (False, False, False),
    "Prefect in the process, embedded stores": (True, False, False),
    "Prefect's server, embedded stores": (True, True, False),
    "a plain call, S3 and MLflow's server": (False, False, True),
    "Prefect's server, S3 and MLflow's server": (True, True, True),
}


def start(stack: Stack) -> float:
    """Seconds of one ``up``."""
    began = time.monotonic()
    stack.up()
    return time.monotonic() - began


def print_idle(stack: Stack) -> None:
    """Memory and CPU of each member, its children included, while nothing runs."""
    time.sleep(15)  # what the start left to do
    families = {
        name: [root := psutil.Process(m["pid"]), *root.children(recursive=True)]
        for name, m in stack.members().items()
    }
    before = {name: _cpu(family) for name, family in families.items()}
    time.sleep(IDLE_SECONDS)
    print(
        "\n| idle | processes | PSS, MiB | RSS, MiB | CPU, % of one core |\n|---|---|---|---|---|"
    )
    whole = [0.0, 0.0, 0.0]
    for name, family in families.items():
        memory = [process.memory_full_info() for process in family if process.is_running()]
        pss = sum(m.pss for m in memory) / 2**20
        rss = sum(m.rss for m in memory) / 2**20
        cpu = 100 * (_cpu(family) - before[name]) / IDLE_SECONDS
        whole = [a + b for a, b in zip(whole, (pss, rss, cpu), strict=True)]
        print(f"| {name} | {len(memory)} | {pss:,.0f} | {rss:,.0f} | {cpu:.1f} |")
    print(f"| all | | {whole[0]:,.0f} | {whole[1]:,.0f} | {whole[2]:.1f} |", flush=True)


def _cpu(family: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in family if process.is_running()]
    return sum(t.user + t.system for t in times)


def print_cycles(stack: Stack, scratch: Path) -> None:
    """Seconds of one cycle in each way, and their ratio to the first."""
    for index in range(WARM + TIMED + 1):
        stack.land(index)
    print("\n| one cycle | wall, s | CPU of its process, s | wall, ratio | CPU, ratio |")
    print("|---|---|---|---|---|")
    base: tuple[float, float] | None = None
    for number, (way, choice) in enumerate(WAYS.items()):
        found = _in_a_process(stack, scratch / f"way-{number}", *choice)
        wall, cpu = (statistics.median(column) for column in zip(*found, strict=True))
        base = base or (wall, cpu)
        print(
            f"| {way} | {wall:.2f} | {cpu:.2f} | {wall / base[0]:.2f} | {cpu / base[1]:.2f} |",
            flush=True,
        )


def _in_a_process(
    stack: Stack, home: Path, flow: bool, server: bool, stores: bool
) -> list[tuple[float, float]]:
    """Wall and CPU seconds of each timed cycle."""
    name = home.name.replace("way-", "tiny")
    streams.project(home, 0 if stores else WARM + TIMED + 1)
    for kind, end in (("pipelines", "toml"), ("expectations", "json")):
        (home / kind / f"tiny.{end}").rename(home / kind / f"{name}.{end}")
    definition = home / "pipelines" / f"{name}.toml"
    text = definition.read_text().replace('name = "tiny"', f'name = "{name}"')
    definition.write_text(text.replace("tiny.json", f"{name}.json"))
    theirs = user_environment(stack.place, home, stack.secrets)
    kept = {k: v for k, v in theirs.items() if server or not k.startswith("PREFECT")}
    if not stores:
        kept = {k: v for k, v in kept.items() if k.startswith("PREFECT")}
        kept |= {"RATCHET_HOME": str(home), "RATCHET_ROOT": str(home / "tables")}
    kept |= {"RATCHET_STATE": str(home / "state"), "PREFECT_HOME": str(home / "prefect")}
    done = subprocess.run(  # noqa: S603 - this very module
        [sys.executable, "-m", "benchmarks.stack", name, "flow" if flow else "plain"],
        env={**plain_environment(), "PYTHONPATH": str(Path(__file__).parents[1]), **kept},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [tuple(pair) for pair in json.loads(done.stdout.splitlines()[-1])]


def run_cycles(name: str, way: str) -> None:
    """In the process of one way: run the windows, and print the seconds of the timed ones."""
    from ratchet.settings import prepare_environment, quiet_logs

    prepare_environment()
    quiet_logs()
    from flows.retrain import one_cycle, retrain
    from tasks import windows
    from tasks.workspace import open_workspace

    seconds = []
    for index in range(WARM + TIMED):
        wall, cpu = time.perf_counter(), time.process_time()
        if way == "flow":
            retrain(name, str(index * streams.WINDOW))
        else:
            workspace = open_workspace(name)
            one_cycle(workspace, windows.named(workspace, str(index * streams.WINDOW)))
        seconds.append((time.perf_counter() - wall, time.process_time() - cpu))
    print(json.dumps(seconds[WARM:]))


def main() -> None:
    """Measure and print all of it."""
    if len(sys.argv) == 3:
        run_cycles(*sys.argv[1:])
        return
    with TemporaryDirectory(prefix="ratchet-stack-") as scratch:
        home = Path(scratch) / "stack"
        home.mkdir()
        pass_through(home)
        streams.project(home, 0)
        weekly = DEPLOYMENTS.replace("{interval: 15}", '{cron: "0 6 * * 2"}')
        (home / "prefect.yaml").write_text(weekly)
        stack = Stack(home)
        try:
            cold = start(stack)
            stack.call("down")
            warm = start(stack)
            print(f"up: {cold:.1f} s the first time, {warm:.1f} s again", flush=True)
            print_idle(stack)
            print_cycles(stack, Path(scratch))
        finally:
            stack.call("down")


if __name__ == "__main__":
    sys.exit(main())
