"""What every implementation of Lease promises: a lock file, and an object on a real S3 server."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ratchet.adapters.lease import FileLease, S3Lease, open_lease
from ratchet.contracts.seams import Lease
from ratchet.errors import LeaseHeld
from ratchet.settings import Settings


@pytest.fixture(params=["file", "s3"])
def new_lease(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Lease]:
    """Gives handles of one lease, as other processes would have them."""
    if request.param == "file":
        return lambda: open_lease(str(tmp_path / "tables"), Settings(state=tmp_path / "state"))
    s3 = request.getfixturevalue("s3")
    root = f"s3://{s3.make_bucket()}/ratchet"
    return lambda: open_lease(root, s3.settings())


def test_tokens_rise_with_each_holder(new_lease: Callable[[], Lease]) -> None:
    same = new_lease()
    for expected in range(1, 6):
        lease = same if expected % 2 else new_lease()
        with lease.hold("run") as token:
            assert token == expected
            lease.check()


def test_one_holder_at_a_time(new_lease: Callable[[], Lease]) -> None:
    holder = new_lease()
    with holder.hold("the first"):
        for other in (new_lease(), holder):
            with (
                pytest.raises(LeaseHeld, match=r"'the second' cannot start: 'the first' \(process"),
                other.hold("the second"),
            ):
                raise AssertionError("held twice")
        holder.check()
    with new_lease().hold("the third") as token:
        assert token == 2


def test_it_is_freed_when_the_block_fails(new_lease: Callable[[], Lease]) -> None:
    with pytest.raises(ZeroDivisionError), new_lease().hold("run"):
        raise ZeroDivisionError
    with new_lease().hold("run") as token:
        assert token == 2


def test_check_refuses_who_does_not_hold_it(new_lease: Callable[[], Lease]) -> None:
    lease = new_lease()
    with pytest.raises(LeaseHeld, match="not held by this run"):
        lease.check()
    with lease.hold("run"), pytest.raises(LeaseHeld, match="not held by this run"):
        new_lease().check()
    with pytest.raises(LeaseHeld, match="not held by this run"):
        lease.check()


def test_eight_threads_never_hold_it_together(new_lease: Callable[[], Lease]) -> None:
    inside: list[int] = []
    tokens: list[int] = []
    crowds: list[int] = []
    barrier = threading.Barrier(8)

    def compete(number: int) -> None:
        lease = new_lease()
        barrier.wait()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with lease.hold(f"run {number}") as token:
                    inside.append(number)
                    crowds.append(len(inside))
                    tokens.append(token)
                    time.sleep(0.005)
                    lease.check()
                    inside.remove(number)
                return
            except LeaseHeld:
                time.sleep(0.01)

    threads = [threading.Thread(target=compete, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tokens == list(range(1, 9))
    assert crowds == [1] * 8


def test_eight_processes_never_hold_it_together(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from ratchet.adapters.lease import FileLease
from ratchet.errors import LeaseHeld
lease, log = FileLease(Path(sys.argv[1]) / "a.lock"), Path(sys.argv[1]) / "log"
deadline = time.monotonic() + 30
while time.monotonic() < deadline:
    try:
        with lease.hold("run") as token, log.open("a") as file:
            print("enter", token, file=file, flush=True)
            time.sleep(0.01)
            lease.check()
            print("leave", token, file=file, flush=True)
        break
    except LeaseHeld:
        time.sleep(0.01)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    for child in [subprocess.Popen(command) for _ in range(8)]:
        assert child.wait() == 0
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines == [f"{step} {token}" for token in range(1, 9) for step in ("enter", "leave")]


def test_leases_of_different_roots_are_apart(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path)
    roots = [str(tmp_path / name) for name in ("a/flights", "b/flights", "a/flights2")]
    with (
        open_lease(roots[0], settings).hold("a") as first,
        open_lease(roots[1], settings).hold("b") as second,
        open_lease(roots[2], settings).hold("c") as third,
    ):
        assert (first, second, third) == (1, 1, 1)
    with (
        open_lease(roots[0], settings).hold("a"),
        pytest.raises(LeaseHeld),
        open_lease(f"{tmp_path}/./a/flights", settings).hold("the same root"),
    ):
        raise AssertionError("held twice")


def test_the_kinds_follow_the_root(tmp_path: Path, s3) -> None:
    assert isinstance(open_lease(str(tmp_path), Settings(state=tmp_path)), FileLease)
    assert isinstance(open_lease(f"s3://{s3.make_bucket()}", s3.settings()), S3Lease)


def test_whether_it_is_held_is_seen_from_outside_without_taking_it(
    new_lease: Callable[[], Lease],
) -> None:
    watcher = new_lease()
    assert watcher.held() is False
    with new_lease().hold("run"):
        assert watcher.held() is True
    assert watcher.held() is False
    with new_lease().hold("run") as token:
        assert token == 2


def test_a_reader_of_an_s3_root_writes_nothing(s3) -> None:
    bucket = s3.make_bucket()
    lease = open_lease(f"s3://{bucket}/ratchet", s3.settings(), reading=True)
    assert lease.held() is False
    assert "Contents" not in s3.client().list_objects_v2(Bucket=bucket)
