"""Starts the members in order, restarts what crashes, stops all of them; one process for one stack.

What it knows is in ``status.json``, written anew at each change, so that ``status`` needs no port.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from infra.local.member import Member, Running
from infra.local.secrets import StackError

PATIENCE_SECONDS = 120.0  # for one member to become ready
FREE_SECONDS = 15.0  # for a port that the members of a killed supervisor still hold while they end
LONGEST_WAIT = 30.0  # seconds between two restarts of a member that keeps on dying
TICK = 0.3


@contextmanager
def sole(home: Path) -> Iterator[None]:
    """Hold the lock of a stack; the system lets go of it when the process ends, however it ends.

    Raises:
        StackError: another supervisor has it.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o711)  # PostgreSQL may be another user
    with (home / "supervisor.lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(f"{home}: its stack is up already; see 'make status'") from None
        yield


def is_up(home: Path) -> bool:
    """Whether a supervisor holds this stack."""
    try:
        with sole(home):
            return False
    except StackError:
        return True


class Supervisor:
    """Runs a stack until it is told to stop.

    Args:
        home: for logs and ``status.json``.
        levels: members by the order of their needs.
    """

    def __init__(self, home: Path, levels: list[list[Member]]) -> None:
        self.home = home
        logs = home / "logs"
        logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.levels = [[Running(m, logs) for m in level] for level in levels]
        self.stopping = False

    @property
    def every(self) -> list[Running]:
        """All members, first to start first."""
        return [each for level in self.levels for each in level]

    def run(self) -> None:
        """Start all, watch them, and stop them at SIGTERM or SIGINT.

        Raises:
            StackError: a member did not become ready at the start.
        """
        for kind in (signal.SIGTERM, signal.SIGINT):
            signal.signal(kind, self._stop)
        try:
            self._check_ports()
            for level in self.levels:
                self._start(level)
            self._write("up")
            while not self.stopping:
                self._watch()
                time.sleep(TICK)
        except Exception as error:
            self._write("failed", str(error))
            raise
        finally:
            for each in reversed(self.every):
                each.end()
        self._write("down")

    def _start(self, level: list[Running]) -> None:
        for each in level:
            each.start()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.stopping:
            self._write("starting")
            waiting = [each for each in level if not each.healthy and not each.check()]
            if not waiting:
                return
            for each in waiting:
                if not each.alive() or time.monotonic() > deadline:
                    ended = "ended" if not each.alive() else f"not ready in {PATIENCE_SECONDS:g} s"
                    raise StackError(f"{each.member.name} {ended}: {each.trouble}{_tail(each)}")
            time.sleep(TICK)

    def _watch(self) -> None:
        """Start again what ended, each time after a longer pause."""
        changed = False
        for each in self.every:
            if each.alive():
                if not each.healthy:
                    changed |= each.check()
                continue
            now = time.monotonic()
            if each.healthy or each.not_before == 0.0:
                each.healthy, changed = False, True
                each.restarts += 1
                each.not_before = now + min(LONGEST_WAIT, 0.5 * 2.0 ** min(each.restarts - 1, 6))
            if now >= each.not_before:
                each.end()  # what it left of its session
                each.not_before = 0.0
                try:
                    each.start()
                except Exception as error:  # its needs may be down too: tried again
                    each.trouble = str(error)[:300]
                changed = True
        if changed:
            self._write("up")

    def _check_ports(self) -> None:
        deadline = time.monotonic() + FREE_SECONDS
        while taken := [
            f"{port} for {each.member.name}"
            for each in self.every
            for port in each.member.every_port
            if not _is_free(port)
        ]:
            if time.monotonic() > deadline:
                raise StackError(
                    f"port {', '.join(taken)}: another program listens there; stop it, or choose "
                    "another with RATCHET_STACK_<NAME>_PORT"
                )
            time.sleep(TICK)

    def _write(self, state: str, trouble: str = "") -> None:
        members = [
            {
                "name": each.member.name,
                "state": _state(each),
                "address": each.member.address,
                "pid": each.process.pid if each.alive() and each.process else None,
                "restarts": each.restarts,
                "trouble": each.trouble,
            }
            for each in self.every
        ]
        found = {"state": state, "trouble": trouble, "supervisor": os.getpid(), "members": members}
        partial = self.home / "status.json.partial"
        partial.write_text(json.dumps(found, indent=2), encoding="utf-8")
        partial.replace(self.home / "status.json")

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.stopping = True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _state(each: Running) -> str:
    if each.alive():
        return "healthy" if each.healthy else "starting"
    return "restarting" if each.restarts else "stopped"


def _tail(each: Running) -> str:
    path = each.logs / f"{each.member.name}.log"
    lines = path.read_text(errors="replace").splitlines()[-8:] if path.exists() else []
    return "".join(f"\n    {line}" for line in lines)
