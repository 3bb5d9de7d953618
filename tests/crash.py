"""Runs cycles in a process of its own that kills itself after its n-th side effect.

The forkserver imports everything once; each child then starts in milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

EFFECTS = {
    "tables": ("append",),
    "registry": (
        "open_run",
        "log",
        "close_run",
        "create_version",
        "describe",
        "set_alias",
    ),
}


def predict_here(replace: Callable[..., object] = setattr) -> None:
    """First predictions in this process instead of a child's, which takes a second to import."""
    from ratchet.adapters import sandbox
    from ratchet.contracts.score import predict

    replace(sandbox, "predict_in_child", predict)


class Counter:
    """Kills this process right after the n-th side effect."""

    def __init__(self, kill_after: int | None) -> None:
        self.left = kill_after
        self.seen: list[str] = []

    def watch(self, target: Any, names: tuple[str, ...]) -> Any:
        """The same object, its named methods counted."""
        for name in names:
            setattr(target, name, self._counted(getattr(target, name), name))
        return target

    def _counted(self, call: Any, name: str) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            out = call(*args, **kwargs)
            self.seen.append(name)
            if self.left is not None and len(self.seen) >= self.left:
                os.kill(os.getpid(), signal.SIGKILL)
            return out

        return counted


def _child(home: str, mlflow: bool, kill_after: int | None, revoke: str, queue: Any) -> None:
    from flows.retrain import run_windows, take_back
    from ratchet.contracts.revocation import Reach
    from tasks.windows import undecided
    from tests.streams import no_reports, quick, workspace

    predict_here()
    space = workspace(Path(home))
    space = no_reports(space) if mlflow else quick(space)
    counter = Counter(kill_after)
    counter.watch(space.tables, EFFECTS["tables"])
    counter.watch(space.registry, EFFECTS["registry"])
    if revoke:
        relearned = take_back(space, Reach(revoke), by="ana", reason="caught").relearned
        decided = [relearned] if relearned else []
    else:
        decided = list(run_windows(space, undecided(space, None, None)))
    made = [(d.window, d.outcome, d.digest) for d in decided]
    queue.put((made, counter.seen))


def run(
    home: Path, *, mlflow: bool = False, kill_after: int | None = None, revoke: str = ""
) -> tuple[int, Any]:
    """Run all open windows in a child, or revoke a source there.

    Returns its exit code (-9 when killed) and what it reported.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash_imports"])
    queue = context.SimpleQueue()
    child = context.Process(target=_child, args=(str(home), mlflow, kill_after, revoke, queue))
    child.start()
    result = None
    while child.is_alive() and result is None:
        child.join(0.05)
        if not queue.empty():
            result = queue.get()
    child.join()
    if result is None and not queue.empty():
        result = queue.get()
    return child.exitcode or 0, result
