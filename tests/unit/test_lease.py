"""Corners of the leases that no other run has to take part in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ratchet.adapters.lease import FileLease, S3Lease
from ratchet.adapters.lease.holder import Holder
from ratchet.errors import LeaseHeld, StorageError
from tests.s3_server import S3Server


def test_a_holder_survives_its_own_json() -> None:
    holder = Holder.new("a run", 7, 60.0)
    assert Holder.from_bytes(holder.to_bytes()) == holder
    newer = json.loads(holder.to_bytes()) | {"added": "by a newer release"}
    assert Holder.from_bytes(json.dumps(newer).encode()) == holder


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b"[]", b"null", b"\xff", b'{"token": 1}'])
def test_what_is_no_holder_is_none(data: bytes) -> None:
    assert Holder.from_bytes(data) is None


def test_a_record_cut_short_does_not_block_the_next_holder(tmp_path: Path) -> None:
    lease = FileLease(tmp_path / "a.lock")
    (tmp_path / "a.lock.json").write_bytes(b'{"owner": "cut sh')
    with lease.hold("run") as token:
        assert token == 1
        with pytest.raises(LeaseHeld), FileLease(tmp_path / "a.lock").hold("other"):
            raise AssertionError("held twice")
        (tmp_path / "a.lock.json").unlink()
        with pytest.raises(LeaseHeld, match="its record is gone"):
            lease.check()
        with (
            pytest.raises(LeaseHeld, match="another run holds"),
            FileLease(tmp_path / "a.lock").hold("other"),
        ):
            raise AssertionError("held twice")


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StorageError, match="RATCHET_STATE"),
        FileLease(tmp_path / "file/a").hold(""),
    ):
        raise AssertionError("held")
    (tmp_path / "a.lock.json.tmp").mkdir()
    for _ in range(2):  # and the lock is not kept
        with (
            pytest.raises(StorageError, match="Free space"),
            FileLease(tmp_path / "a.lock").hold(""),
        ):
            raise AssertionError("held")


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_holder(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from ratchet.adapters.lease import FileLease
with FileLease(Path(sys.argv[1])).hold("holder"):
    child = os.fork()
    if child == 0:
        print(os.getpid(), flush=True)  # by now it has let go of the lock
    signal.pause()
"""
    path = tmp_path / "a.lock"
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        child = int(holder.stdout.readline())
        try:
            with pytest.raises(LeaseHeld), FileLease(path).hold("too early"):
                raise AssertionError("held twice")
            holder.kill()
            holder.wait()
            os.kill(child, 0)  # it lives on
            with FileLease(path).hold("next") as token:
                assert token == 2
        finally:
            os.kill(child, signal.SIGKILL)


class Broken:
    """A client whose next calls fail; ``plan`` gives an exception (or None) for each put."""

    def __init__(self, client: Any, *plan: Exception | None) -> None:
        self._client, self.plan = client, list(plan)

    def put_object(self, **request: Any) -> Any:
        error = self.plan.pop(0) if self.plan else None
        if error:
            raise error
        return self._client.put_object(**request)

    def get_object(self, **request: Any) -> Any:
        return self._client.get_object(**request)


def lost() -> ConnectionError:
    return ConnectionError("reset")


def test_renewal_goes_on_after_a_lost_answer(s3: S3Server) -> None:
    """A sign of life arrived although its answer did not: the next one goes on from it."""

    class Deaf(Broken):
        def put_object(self, **request: Any) -> Any:
            answer = self._client.put_object(**request)
            if self.plan:
                raise self.plan.pop(0)
            return answer

        def get_object(self, **request: Any) -> Any:
            if self.plan:
                raise self.plan.pop(0)
            return self._client.get_object(**request)

    client = Deaf(s3.client())
    lease = S3Lease(client, s3.make_bucket(), "lease.json")
    with lease.hold("run"):
        client.plan = [lost(), lost()]  # neither the put's answer nor the read after it
        lease.check()
        lease.check()
    with S3Lease(s3.client(), lease._bucket, "lease.json").hold("next") as token:
        assert token == 2


def test_check_fails_once_the_time_ran_out_without_the_store(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Broken(s3.client())
    lease = S3Lease(client, s3.make_bucket(), "lease.json", ttl_seconds=60)
    with lease.hold("run"):
        client.plan = [lost()]
        lease.check()  # its time is not up yet
        now = time.monotonic()
        monkeypatch.setattr("ratchet.adapters.lease.s3._now", lambda: now + 10**6)
        client.plan = [lost()]
        with pytest.raises(StorageError, match="could not be renewed in time"):
            lease.check()


def test_the_thread_keeps_it_alive_and_stops_when_it_is_lost(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    lease = S3Lease(s3.client(), bucket, "lease.json", ttl_seconds=0.15)
    with lease.hold("run"):
        eventually(lambda: read(s3, bucket)["beat"] >= 2)
        thief = Holder.new("a thief", 99, 60.0)
        s3.client().put_object(Bucket=bucket, Key="lease.json", Body=thief.to_bytes())
        eventually(lambda: all(thread.name != "lease" for thread in threading.enumerate()))
        with pytest.raises(LeaseHeld, match="was taken over"):
            lease.check()
    assert read(s3, bucket)["owner"] == "a thief"  # nothing was released that is not ours


def test_a_slow_taker_hears_who_was_faster(s3: S3Server) -> None:
    bucket = s3.make_bucket()

    class Slow(Broken):
        def put_object(self, **request: Any) -> Any:
            faster = Holder.new("the faster one", 1, 60.0)
            self._client.put_object(Bucket=bucket, Key="lease.json", Body=faster.to_bytes())
            return self._client.put_object(**request)

    lease = S3Lease(Slow(s3.client()), bucket, "lease.json")
    with pytest.raises(LeaseHeld, match=r"'the faster one' .* was faster"), lease.hold("run"):
        raise AssertionError("held twice")


def test_something_else_in_its_place_is_not_overwritten(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    s3.client().put_object(Bucket=bucket, Key="lease.json", Body=b"important")
    with (
        pytest.raises(StorageError, match="holds something else than a lease"),
        S3Lease(s3.client(), bucket, "lease.json").hold("run"),
    ):
        raise AssertionError("held")


def test_errors_of_the_store_are_told(s3: S3Server) -> None:
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")
    client = Broken(s3.client(), denied)
    with (
        pytest.raises(StorageError, match=r"AccessDenied.*the keys may read and write there"),
        S3Lease(client, s3.make_bucket(), "lease.json").hold("run"),
    ):
        raise AssertionError("held")


def test_a_release_that_fails_leaves_it_to_time(s3: S3Server) -> None:
    client = Broken(s3.client())
    bucket = s3.make_bucket()
    with S3Lease(client, bucket, "lease.json").hold("run"):
        client.plan = [lost()]
    assert read(s3, bucket)["released"] is False


@pytest.mark.parametrize(("age", "free"), [(60, False), (61, False), (62, True)])
def test_the_clock_of_the_store_decides(age: int, free: bool) -> None:
    """A holder's time is up one second late rather than early: the ages are whole seconds."""
    from datetime import UTC, datetime, timedelta
    from io import BytesIO

    seen = datetime(2001, 1, 1, tzinfo=UTC)  # no clock of this machine plays a part

    class Store:
        def get_object(self, **_: Any) -> Any:
            date = format_datetime(seen + timedelta(seconds=age), usegmt=True)
            return {
                "Body": BytesIO(Holder.new("dead", 4, 60.0).to_bytes()),
                "ContentLength": 0,
                "ETag": '"e"',
                "LastModified": seen,
                "ResponseMetadata": {"HTTPHeaders": {"date": date}},
            }

        def put_object(self, **request: Any) -> Any:
            assert request["IfMatch"] in ('"e"', '"f"')
            return {"ETag": '"f"'}

    lease = S3Lease(Store(), "bucket", "lease.json")
    if free:
        with lease.hold("run") as token:
            assert token == 5
    else:
        with pytest.raises(LeaseHeld, match=f"last seen {age} s ago"), lease.hold("run"):
            raise AssertionError("held twice")


def read(s3: S3Server, bucket: str) -> dict[str, Any]:
    return json.loads(s3.client().get_object(Bucket=bucket, Key="lease.json")["Body"].read())


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
