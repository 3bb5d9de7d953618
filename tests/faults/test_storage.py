"""Faults of the storage (FAULTS.md, by number): nothing lost, nothing twice, the file named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pytest

from ratchet.adapters.lease import FileLease, S3Lease, open_lease
from ratchet.adapters.tables import DeltaTables, open_tables, probe_conditional_writes
from ratchet.contracts.seams import Append, Tables
from ratchet.errors import (
    Damaged,
    DefinitionError,
    LeaseHeld,
    NoConditionalWrites,
    RatchetError,
    StorageError,
)
from ratchet.settings import Settings
from tests.proxy import CuttingProxy
from tests.s3_server import S3Server

SCHEMA = pa.schema(
    [
        pa.field("_key", pa.string(), nullable=False),
        pa.field("_window", pa.int32(), nullable=False),
        pa.field("x", pa.float64()),
    ]
)


def rows(window: int, keys: list[str]) -> pa.Table:
    table = {"_key": keys, "_window": [window] * len(keys), "x": [float(len(k)) for k in keys]}
    return pa.table(table, SCHEMA)


def keys(tables: Tables, table: str = "landed") -> list[str]:
    found = tables.read(table)
    return found["_key"].to_pylist() if found.num_columns else []


@pytest.fixture(params=["directory", "s3"])
def new_tables(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], DeltaTables]:
    if request.param == "directory":
        return lambda: open_tables(str(tmp_path / "tables"), Settings())
    s3 = request.getfixturevalue("s3")
    root = f"s3://{s3.make_bucket()}/ratchet"
    return lambda: open_tables(root, s3.settings())


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A local root whose table ``landed`` holds five commits of two rows."""
    tables = DeltaTables(str(tmp_path))
    for i in range(5):
        tables.append(Append("landed", rows(i, [f"{i}a", f"{i}b"]), f"t{i}"))
    return tmp_path


def commit_of(root: Path, version: int) -> Path:
    return root / "landed" / "_delta_log" / f"{version:020}.json"


# ---------------------------------------------------------------- 24: disk full, read-only root


def test_fault_24_disk_full(tmp_path: Path) -> None:
    """A file size limit of the kernel stands for the full disk: it needs no privileges."""
    script = """
import resource, sys
import pyarrow as pa
from ratchet.adapters.tables import DeltaTables
from ratchet.contracts.seams import Append
from ratchet.errors import StorageError

def rows(n, text):
    keys = pa.array([f"{i}{text}" for i in range(n)], pa.string())
    return pa.table({"_key": keys, "_window": pa.array([0] * n, pa.int32())})

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

tables = DeltaTables(sys.argv[1])
tables.append(Append("landed", rows(3, "early"), "early"))
for txn, size, big in [("file", 2000, rows(20000, "x")), ("commit", 64, rows(0, ""))]:
    limit(size)
    try:
        tables.append(Append("landed", big, txn))
    except StorageError as error:
        print(txn, "|", error)
    assert tables.read("landed").num_rows == 3, "earlier data stays readable"
    assert not tables.committed("landed", txn)
limit(resource.RLIM_INFINITY)
tables.append(Append("landed", rows(20000, "x"), "file"))
print("rows", tables.read("landed").num_rows, "version", tables.version("landed"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()
    assert first.startswith("file | table landed") and "did not take a file" in first
    assert second.startswith("commit | table landed") and "did not take a commit" in second
    for line in (first, second):
        assert "Raise the file size limit, then run again; nothing is lost" in line
    assert last == "rows 20003 version 1"
    assert list(tmp_path.rglob("*.tmp")) == []


def test_fault_24_disk_full_says_so(tmp_path: Path) -> None:
    class FullDisk:
        def __init__(self, files: object) -> None:
            self._files = files

        def __getattr__(self, name: str) -> object:
            return getattr(self._files, name)

        def put(self, path: str, data: bytes) -> None:
            raise OSError(28, "No space left on device", path)

    tables = DeltaTables(str(tmp_path))
    tables.append(Append("landed", rows(0, ["a"]), "one"))
    healthy, tables._files = tables._files, FullDisk(tables._files)
    with pytest.raises(StorageError, match=r"No space left.*Free space, then run again"):
        tables.append(Append("landed", rows(0, ["b"]), "two"))
    assert keys(tables) == ["a"]
    tables._files = healthy
    tables.append(Append("landed", rows(0, ["b"]), "two"))
    assert keys(tables) == ["a", "b"]


def test_fault_24_read_only_root() -> None:
    """In a child process that is not root, since permissions do not bind root."""
    script = """
import os, sys
import deltalake, pyarrow as pa, pyarrow.parquet, pyarrow.compute
from ratchet.adapters.tables import DeltaTables
from ratchet.adapters.lease import FileLease
from ratchet.contracts.seams import Append
from ratchet.errors import StorageError
from pathlib import Path

root = Path(sys.argv[1])
rows = pa.table({"_key": ["a"], "_window": pa.array([0], pa.int32())})
tables = DeltaTables(str(root))
tables.append(Append("landed", rows, "one"))
folders = [root, *(p for p in root.rglob("*") if p.is_dir())]
for folder in folders:
    folder.chmod(0o555)
if os.geteuid() == 0:
    os.seteuid(65534)
for name, action in [
    ("same", lambda: tables.append(Append("landed", rows, "two"))),
    ("new", lambda: tables.append(Append("labels", rows, "two"))),
    ("lease", lambda: FileLease(root / "locks" / "a.lock").hold("x").__enter__()),
]:
    try:
        action()
    except StorageError as error:
        print(name, "|", error)
print("read", tables.read("landed")["_key"].to_pylist(), tables.committed("landed", "two"))
if os.getuid() == 0:
    os.seteuid(0)
for folder in folders:
    folder.chmod(0o755)
print("version", tables.append(Append("landed", rows, "two")))
"""
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", script, root], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(" | ")[0] for line in lines[:3]] == ["same", "new", "lease"]
    assert all("Permission denied" in line for line in lines[:3])
    assert "Let this user" in lines[0] and "RATCHET_STATE" in lines[2]
    assert lines[3:] == ["read ['a'] False", "version 1"]


def test_fault_24_the_root_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("not a directory")
    tables = DeltaTables(str(tmp_path / "root"))
    with pytest.raises(StorageError, match="Point RATCHET_ROOT at a directory"):
        tables.append(Append("landed", rows(0, ["a"]), "one"))


# ---------------------------------------------------------------- 28: sixteen publishers


def test_fault_28_sixteen_publishers(new_tables: Callable[[], DeltaTables]) -> None:
    """All publish one window under one transaction, each with rows of its own: one wins whole."""
    barrier = threading.Barrier(16)
    results: list[int] = []

    def publish(number: int) -> None:
        tables = new_tables()
        barrier.wait()
        table = rows(3, [f"{number:02}-{i}" for i in range(4)])
        results.append(tables.append(Append("landed", table, "flights/3/land")))

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0] * 16
    found = keys(new_tables())
    winner = found[0][:2]
    assert found == [f"{winner}-{i}" for i in range(4)]
    assert new_tables().version("landed") == 0


@pytest.mark.slow
def test_fault_28_publishers_in_processes(tmp_path: Path) -> None:
    script = """
import sys, time
import pyarrow as pa, deltalake
from ratchet.adapters.tables import DeltaTables
from ratchet.contracts.seams import Append
who = sys.argv[2]
keys = [f"{who}-{i}" for i in range(4)]
rows = pa.table({"_key": keys, "_window": pa.array([0] * 4, pa.int32())})
print("ready", flush=True)
sys.stdin.readline()
print(DeltaTables(sys.argv[1]).append(Append("landed", rows, "txn")))
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen([*command, str(n)], **pipes) for n in range(4)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    assert [child.communicate()[0] for child in children] == ["0\n"] * 4
    assert len(keys(DeltaTables(str(tmp_path)))) == 4


# ---------------------------------------------------------------- 30: a paused holder resumes

HOLDER = """
import sys
from pathlib import Path
from ratchet.adapters.lease import FileLease, S3Lease
from ratchet.errors import RatchetError

if sys.argv[1] == "file":
    lease = FileLease(Path(sys.argv[2]))
else:
    import boto3
    endpoint, access, secret, bucket = sys.argv[2:]
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1",
                          aws_access_key_id=access, aws_secret_access_key=secret)
    lease = S3Lease(client, bucket, "lease.json", ttl_seconds=1)
with lease.hold("the first run") as token:
    print("token", token, flush=True)
    sys.stdin.readline()
    try:
        lease.check()
        print("still mine", flush=True)
    except RatchetError as error:
        print(type(error).__name__, error, flush=True)
"""


@contextmanager
def a_holder(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lease until it reads a line."""
    command = [sys.executable, "-c", HOLDER, *arguments]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "token 1\n"
        yield child
    finally:
        child.kill()
        child.communicate()


@pytest.fixture
def s3_holder(s3: S3Server) -> tuple[str, ...]:
    return ("s3", s3.endpoint, s3.access_key, s3.secret_key, s3.make_bucket())


def take(lease: S3Lease | FileLease, seconds: float) -> int:
    """Hold the lease as soon as it is free; the token."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with lease.hold("the second run") as token:
                return token
        except LeaseHeld:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.slow
def test_fault_30_a_paused_holder_resumes(s3: S3Server, s3_holder: tuple[str, ...]) -> None:
    lease = S3Lease(s3.client(), s3_holder[-1], "lease.json", ttl_seconds=1)
    with a_holder(*s3_holder) as child:
        os.kill(child.pid, signal.SIGSTOP)
        assert take(lease, seconds=10) == 2
        with lease.hold("the third run") as token:
            assert token == 3
            os.kill(child.pid, signal.SIGCONT)
            answer = child.communicate("go\n", timeout=20)[0]
            lease.check()  # the stale one changed nothing on its way out
    assert answer.startswith("LeaseHeld") and "was taken over" in answer


def test_fault_30_a_lock_file_that_was_removed(tmp_path: Path) -> None:
    """Somebody removes the lock file by hand, and another run starts: the first one finds out."""
    first, second = FileLease(tmp_path / "a.lock"), FileLease(tmp_path / "a.lock")
    with first.hold("first"):
        first.check()
        (tmp_path / "a.lock").unlink()
        with second.hold("second") as token:
            assert token == 2
            with pytest.raises(LeaseHeld, match="taken over by 'second'"):
                first.check()
            second.check()


# ---------------------------------------------------------------- 31: the holder is killed


def test_fault_31_a_killed_holder_frees_the_lock_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with a_holder("file", str(path)) as child:
        with pytest.raises(LeaseHeld), FileLease(path).hold("x"):
            raise AssertionError("held twice")
        child.kill()
        child.wait()
        with FileLease(path).hold("the next run") as token:
            assert token == 2


@pytest.mark.slow
def test_fault_31_a_killed_holder_frees_the_object_in_time(
    s3: S3Server, s3_holder: tuple[str, ...]
) -> None:
    lease = S3Lease(s3.client(), s3_holder[-1], "lease.json", ttl_seconds=1)
    with a_holder(*s3_holder) as child:
        time.sleep(3)  # it lives on by renewal, beyond its time
        with pytest.raises(LeaseHeld), lease.hold("x"):
            raise AssertionError("held twice")
        child.kill()
        assert take(lease, seconds=6) == 2


# ---------------------------------------------------------------- 33: the same window twice


def test_fault_33_the_same_window_twice(new_tables: Callable[[], DeltaTables]) -> None:
    first, second = new_tables(), new_tables()
    assert first.append(Append("decisions", rows(3, ["decision"]), "flights/3")) == 0
    assert second.append(Append("decisions", rows(3, ["decision"]), "flights/3")) == 0
    assert keys(first, "decisions") == keys(second, "decisions") == ["decision"]


def test_fault_33_the_other_run_says_who_holds_it(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path)
    with (
        open_lease(str(tmp_path / "tables"), settings).hold("retrain flights 2013-03-05"),
        pytest.raises(
            LeaseHeld, match=r"'retrain flights 2013-03-05' \(process \d+ on .*\) since 20"
        ),
        open_lease(str(tmp_path / "tables"), settings).hold("backfill"),
    ):
        raise AssertionError("held twice")


# ---------------------------------------------------------------- 34: an answer is lost


@pytest.mark.parametrize("when", ["answer", "request"])
@pytest.mark.parametrize("new", [True, False])
def test_fault_34_connection_cut_at_the_commit(s3: S3Server, when: str, new: bool) -> None:
    """The commit was done but its answer is lost, or it never arrived: either way, once."""
    with CuttingProxy(s3.endpoint) as proxy:
        settings = s3.settings(s3_endpoint=proxy.endpoint)
        tables = open_tables(f"s3://{s3.make_bucket()}/cut", settings)
        if not new:
            tables.append(Append("landed", rows(0, ["early"]), "early"))
        proxy.cut(b"_delta_log/", when)
        version = tables.append(Append("landed", rows(1, ["a", "b"]), "txn"))
        assert proxy.cuts == 1
        assert version == tables.version("landed") == (0 if new else 1)
        assert keys(tables) == ([] if new else ["early"]) + ["a", "b"]
        assert tables.append(Append("landed", rows(1, ["a", "b"]), "txn")) == version


@pytest.mark.parametrize("when", ["answer", "request"])
def test_fault_34_connection_cut_at_a_data_file(s3: S3Server, when: str) -> None:
    with CuttingProxy(s3.endpoint) as proxy:
        settings = s3.settings(s3_endpoint=proxy.endpoint)
        tables = open_tables(f"s3://{s3.make_bucket()}/cut", settings)
        proxy.cut(b".parquet", when)
        assert tables.append(Append("landed", rows(1, ["a"]), "txn")) == 0
        assert proxy.cuts == 1
        assert keys(tables) == ["a"]


@pytest.mark.parametrize("when", ["answer", "request"])
def test_fault_34_connection_cut_at_the_lease(s3: S3Server, when: str) -> None:
    """Our own write is recognised, when it is refused the second time."""
    with CuttingProxy(s3.endpoint) as proxy:
        root = f"s3://{s3.make_bucket()}/cut"
        lease = open_lease(root, s3.settings(s3_endpoint=proxy.endpoint))
        for expected in (1, 2):
            proxy.cut(b"_lease.json", when)
            with lease.hold("a run") as token:
                assert token == expected
                proxy.cut(b"_lease.json", when)
                lease.check()
        assert proxy.cuts == 4


def test_fault_34_a_store_that_is_down_says_so(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    with CuttingProxy(s3.endpoint) as proxy:
        settings = s3.settings(s3_endpoint=proxy.endpoint)
        tables = open_tables(f"s3://{bucket}/down", settings)
        tables.append(Append("landed", rows(0, ["a"]), "one"))
        lease = open_lease(f"s3://{bucket}/down", settings)
    for action in (
        lambda: tables.append(Append("landed", rows(0, ["b"]), "two")),
        lambda: tables.read("landed"),
        lambda: lease.hold("x").__enter__(),
        lambda: open_tables(f"s3://{bucket}/other", settings),
    ):
        with pytest.raises(StorageError, match=r"(?i)connect|endpoint") as caught:
            action()
        assert not isinstance(caught.value, Damaged)
    again = open_tables(f"s3://{bucket}/down", s3.settings())
    again.append(Append("landed", rows(0, ["b"]), "two"))
    assert keys(again) == ["a", "b"]


# ---------------------------------------------------------------- 35: unfinished uploads


def test_fault_35_unfinished_upload_is_invisible_and_collected(s3: S3Server) -> None:
    bucket, client = s3.make_bucket(), s3.client()
    tables = open_tables(f"s3://{bucket}/up", s3.settings())
    tables.append(Append("landed", rows(0, ["a"]), "one"))
    key = "up/landed/_window=0/part-dead-beef.parquet"
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"x" * 100)
    assert keys(tables) == ["a"]
    assert tables.collect("landed") == []  # young: its writer may still be at work
    assert tables.collect("landed", older_than=0) == [f"s3://{bucket}/{key}"]
    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    assert keys(tables) == ["a"]


def test_fault_35_files_without_a_commit_are_invisible_and_collected(
    new_tables: Callable[[], DeltaTables],
) -> None:
    """What a writer leaves that is killed between its files and its commit."""
    tables = new_tables()
    tables.append(Append("landed", rows(0, ["a"]), "one"))
    tables._files.put("landed/_window=0/part-left-over.parquet", b"never committed")
    assert keys(tables) == ["a"]
    assert tables.collect("landed") == []
    removed = tables.collect("landed", older_than=-5)
    assert [address.rsplit("/", 1)[-1] for address in removed] == ["part-left-over.parquet"]
    assert keys(tables) == ["a"]
    assert tables.collect("labels", older_than=-5) == []


# ---------------------------------------------------------------- 36: overwritten or deleted


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 8]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (None, "was committed and is missing"),
        (_flip, "its content has the digest"),
        (lambda data: data[:-9], "bytes found"),
        (lambda data: b"", "0 bytes found"),
        (lambda data: data + b"x", "bytes found"),
    ],
)
def test_fault_36_data_file_deleted_or_overwritten(
    new_tables: Callable[[], DeltaTables],
    damage: Callable[[bytes], bytes] | None,
    message: str,
) -> None:
    tables = new_tables()
    tables.append(Append("landed", rows(0, ["a"]), "one"))
    tables.append(Append("landed", rows(1, ["b"]), "two"))
    listed = tables._files.walk("landed/_window=0", time.time())
    victim = next(stored.path for stored in listed)
    if damage is None:
        tables._files.delete(victim)
    else:
        tables._files.put(victim, damage(tables._files.get(victim)))
    with pytest.raises(Damaged, match=message) as caught:
        tables.read("landed")
    assert tables._files.address(victim) in str(caught.value)
    assert tables.read("landed", windows=(1, None))["_key"].to_pylist() == ["b"]


def test_fault_36_every_single_flipped_bit_of_a_file_is_seen(tmp_path: Path) -> None:
    tables = DeltaTables(str(tmp_path))
    tables.append(Append("landed", rows(0, ["a", "b"]), "one"))
    file = next(tmp_path.rglob("part-*.parquet"))
    whole = file.read_bytes()
    for position in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << (position % 8)
        file.write_bytes(flipped)
        with pytest.raises(Damaged, match="its content has the digest"):
            tables.read("landed")


# ---------------------------------------------------------------- a corrupted log entry


@pytest.mark.parametrize("version", [0, 2, 4])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"\x00\xffgarbage",
        lambda data: b"",  # what a power cut leaves; Delta readers skip it without a word
        lambda data: data[:-40],
        lambda data: data[: len(data) // 2],
        lambda data: b"".join(data.splitlines(keepends=True)[:1]),
        lambda data: b"".join(x for x in data.splitlines(keepends=True) if b'"add"' not in x),
        lambda data: data.replace(b'"size":', b'"size":1'),
    ],
    ids=["garbage", "empty", "cut", "half", "one line", "no file", "other size"],
)
def test_a_corrupted_log_entry_is_named(
    filled: Path, version: int, damage: Callable[[bytes], bytes]
) -> None:
    path = commit_of(filled, version)
    path.write_bytes(damage(path.read_bytes()))
    tables = DeltaTables(str(filled))
    for action in (
        lambda: tables.read("landed"),
        lambda: tables.version("landed"),
        lambda: tables.committed("landed", "t4"),
        lambda: tables.append(Append("landed", rows(9, ["z"]), "t9")),
    ):
        with pytest.raises(Damaged, match="is damaged") as caught:
            action()
        if b'"add"' in path.read_bytes() or len(path.read_bytes()) < 300:
            assert "_delta_log" in str(caught.value)
    assert not commit_of(filled, 5).exists(), "nothing was written to a damaged table"
    assert DeltaTables(str(filled)).version("labels") == -1


@pytest.mark.parametrize("version", [0, 2])
def test_a_missing_log_entry_is_named(filled: Path, version: int) -> None:
    commit_of(filled, version).unlink()
    with pytest.raises(Damaged, match=rf"{version:020}\.json \(missing\)"):
        DeltaTables(str(filled)).read("landed")


def test_a_damaged_version_harms_no_other_table_and_no_earlier_version(filled: Path) -> None:
    commit_of(filled, 4).write_bytes(b"")
    tables = DeltaTables(str(filled))
    assert tables.read("landed", version=3).num_rows == 8
    with pytest.raises(Damaged):
        tables.read("landed", version=4)
    with pytest.raises(Damaged):
        tables.read("landed", version=5)


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: b""])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    tables = DeltaTables(str(tmp_path))
    for i in range(12):
        tables.append(Append("landed", rows(0, [str(i)]), f"t{i}"))
    log = tmp_path / "landed" / "_delta_log"
    checkpoint = next(log.glob("*.checkpoint.parquet"))
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.raises(Damaged, match=f"{checkpoint.name}.*may be deleted"):
        tables.read("landed")
    checkpoint.unlink()
    (log / "_last_checkpoint").unlink()
    assert tables.read("landed").num_rows == 12


def test_rows_of_another_program_are_found_out(filled: Path) -> None:
    import deltalake

    deltalake.write_deltalake(str(filled / "landed"), rows(0, ["intruder"]), mode="append")
    with pytest.raises(Damaged, match="newest commit recorded others"):
        DeltaTables(str(filled)).read("landed")


# ---------------------------------------------------------------- 37: roots that alias


@pytest.mark.parametrize(
    "root",
    [
        "s3://bucket/a//b",
        "s3://bucket/a\\b",
        "s3://bucket//a",
        "s3://bucket/../a",
        "s3://bucket/a/../b",
        "s3://bucket/a/./b",
        "s3://bucket/a%2fb",
        "s3://bucket/a?b",
        "s3://bucket/a\nb",
        "s3://",
        "s3:///a",
        "s3://Bucket/a",
        "gs://bucket/a",
        "",
        "tables//flights",
        "tables\\flights",
        "../tables",
        "/data/../tables",
        "//data/tables",
        "tables/a%20b",
        "tables/a[1]",
        "tables/\x00",
        "tables/\udcff",
    ],
)
def test_fault_37_roots_that_alias_are_refused(root: str, tmp_path: Path) -> None:
    for opening in (open_tables, open_lease):
        with pytest.raises(DefinitionError, match=r"root|address"):
            opening(root, Settings(state=tmp_path))


@pytest.mark.parametrize("root", ["tables", "./tables/flights", "a b/ü+x/日本", ".ratchet/tables/"])
def test_fault_37_plain_roots_are_taken(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tables = open_tables(root, Settings())
    tables.append(Append("landed", rows(0, ["a"]), "one"))
    assert keys(open_tables(str(tmp_path / root), Settings())) == ["a"]
    assert (tmp_path / root / "landed" / "_delta_log").is_dir()


# ---------------------------------------------------------------- 38: no conditional writes


class _Careless(BaseHTTPRequestHandler):
    """An S3 server in a few lines that keeps objects and ignores or denies conditions."""

    protocol_version = "HTTP/1.1"
    answer = 200
    body = b""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._reply()

    def do_DELETE(self) -> None:
        self._reply()

    def do_GET(self) -> None:
        self._reply()

    def _reply(self) -> None:
        self.send_response(self.answer)
        self.send_header("ETag", '"abc"')
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def a_stub(answer: int = 200, body: bytes = b"") -> Iterator[str]:
    handler = type("Stub", (_Careless,), {"answer": answer, "body": body})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def settings_for(endpoint: str, secret: str = "x" * 40) -> Settings:
    return Settings(s3_endpoint=endpoint, s3_access_key="access", s3_secret_key=secret)


def test_fault_38_a_store_without_conditions_is_refused() -> None:
    with a_stub() as endpoint:
        for opening in (open_tables, open_lease):
            with pytest.raises(NoConditionalWrites, match="ignored If-None-Match"):
                opening("s3://bucket/root", settings_for(endpoint))


def test_fault_38_a_store_that_does_not_know_conditions_is_refused() -> None:
    body = b"<Error><Code>NotImplemented</Code><Message>no such header</Message></Error>"
    with (
        a_stub(501, body) as endpoint,
        pytest.raises(NoConditionalWrites, match="does not know conditional writes"),
    ):
        open_tables("s3://bucket/root", settings_for(endpoint))


def test_fault_38_a_real_store_passes_and_is_left_clean(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    probe_conditional_writes(s3.client(), bucket, "some/prefix")
    assert s3.client().list_objects_v2(Bucket=bucket).get("Contents", []) == []


def test_fault_38_a_bucket_that_is_not_there_says_so(s3: S3Server) -> None:
    with pytest.raises(StorageError, match="RATCHET_S3_ACCESS_KEY"):
        open_tables("s3://no-such-bucket-here/x", s3.settings(s3_access_key="wrong"))


# ---------------------------------------------------------------- 56: a planted secret


def test_fault_56_no_secret_in_errors(s3: S3Server, tmp_path: Path) -> None:
    """Not in messages, not in the tracebacks of their causes, not in the repr of what holds it."""
    secret = "PLANTED/secret+0123456789abcdef"
    echo = f"<Error><Code>AccessDenied</Code><Message>{secret}</Message></Error>".encode()
    texts = []
    with a_stub(403, echo) as endpoint:
        settings = settings_for(endpoint, secret)
        options = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "access",
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
            "max_retries": "0",
        }
        tables = DeltaTables("s3://bucket/root", options)
        texts.append(repr(tables) + str(vars(settings)) + repr(settings))
        for action in (
            lambda: tables.version("landed"),
            lambda: tables.append(Append("landed", rows(0, ["a"]), "one")),
            lambda: open_tables("s3://bucket/root", settings),
            lambda: open_lease("s3://bucket/root", settings),
        ):
            try:
                action()
            except RatchetError as error:
                texts.append("".join(traceback.format_exception(error)))
    assert len(texts) == 5
    assert all(secret not in text for text in texts), [t for t in texts if secret in t]


def test_fault_56_nothing_goes_over_plain_http() -> None:
    for opening in (open_tables, open_lease):
        with pytest.raises(DefinitionError, match="expected https://"):
            opening("s3://bucket/root", settings_for("http://example.test:8333"))


def test_a_commit_has_what_an_auditor_needs(filled: Path) -> None:
    """The marks that make a shortened log visible are in every commit."""
    for version in range(5):
        lines = [json.loads(line) for line in commit_of(filled, version).read_text().splitlines()]
        marks = {line["txn"]["appId"]: line["txn"]["version"] for line in lines if "txn" in line}
        assert marks[f"t{version}"] == 1
        assert marks["ratchet:version"] == version
        assert 0 < marks["ratchet:files"] < 2**62
