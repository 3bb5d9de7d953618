"""One server of the stack: how it is started, when it is ready, how it ends.

>>> Member("s3", ("weed", "mini"), {}, ready=lambda: None, address="127.0.0.1:9000").name
's3'
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

POLITE_SECONDS = 20.0  # between asking a member to stop and killing it


@dataclass(frozen=True)
class Member:
    """What the supervisor has to know of a server.

    Attributes:
        name: for people and for the log's name.
        command: program and arguments; no secret is among them.
        environment: all variables that it gets; secrets are here or in files of mode 0600.
        ready: returns when it can be used, and raises whatever says why not.
        address: where people or programs find it.
        prepare: called before each start; raises what a person has to mend.
        user: user and group id to run as; None for the supervisor's own.
        stop: the signal that asks it to end.
        inner: ports of its own parts, besides that of its address.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ready: Callable[[], None]
    address: str
    prepare: Callable[[], None] | None = None
    user: tuple[int, int] | None = None
    stop: signal.Signals = signal.SIGTERM
    inner: tuple[int, ...] = ()

    @property
    def every_port(self) -> tuple[int, ...]:
        """The port of its address, where it has one, and the inner ones."""
        port = self.address.removeprefix("http://").split("/")[0].rpartition(":")[2]
        return (int(port), *self.inner)


@dataclass(eq=False)
class Running:
    """A member's process in a session of its own; it dies with the supervisor (Linux)."""

    member: Member
    logs: Path
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    healthy: bool = False
    trouble: str = ""
    not_before: float = field(default=0.0)

    def start(self) -> None:
        """Start the process; its output goes to the member's log."""
        member = self.member
        if member.prepare:
            member.prepare()
        uid, gid = member.user or (None, None)
        with (self.logs / f"{member.name}.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own programs
                member.command,
                env=dict(member.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=uid,
                group=gid,
                extra_groups=[] if member.user else None,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call
            )
        self.healthy, self.trouble = False, ""

    def check(self) -> bool:
        """Whether it is ready now; why not is kept in ``trouble``."""
        if not self.alive():
            return False
        try:
            self.member.ready()
        except Exception as error:  # whatever it is: not ready yet, and people can read why
            self.trouble = str(error)[:300] or type(error).__name__
            return False
        self.healthy, self.trouble = True, ""
        return True

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def end(self) -> None:
        """Ask the process to end, then end its whole session; returns when all are gone."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self.member.stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLITE_SECONDS)
        end_session(process.pid)
        process.wait()


def end_session(leader: int) -> None:
    """End whatever is left of a session, politely first."""
    for kind, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + seconds
        while left := _in_session(leader):
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, kind)
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        else:
            return


def _in_session(leader: int) -> list[int]:
    """Live processes of a session, by ``/proc``; elsewhere just the leader's group is known."""
    proc = Path("/proc")
    if not proc.is_dir():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, 0)
            return [-leader]
        return []
    found = []
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            # pid (name) state ppid pgrp session ...; the name may hold anything
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state != "Z":
                found.append(int(entry.name))
    return found


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
