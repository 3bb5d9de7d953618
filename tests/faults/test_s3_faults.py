"""An S3 server that misbehaves: what passes is retried with back-off, what stays fails clearly.

Whatever it is: nothing half-written is visible, the champion stays, and a rerun completes once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ratchet.adapters import s3 as adapter
from ratchet.adapters.landing import open_zone
from ratchet.adapters.lease import S3Lease, open_lease
from ratchet.adapters.tables import DeltaTables, open_tables
from ratchet.contracts.columns import ACCEPTED, DECISIONS, KEY, LANDED, LANDED_LABELS
from ratchet.contracts.seams import Append
from ratchet.errors import Damaged, RatchetError, StorageError
from ratchet.settings import Settings
from tests.e2e.test_s3_loop import Cloud, run_on_disk, what_matters
from tests.e2e.test_s3_loop import cloud as cloud  # noqa: PLC0414 - a fixture
from tests.faults.test_storage import keys, rows
from tests.faulty_proxy import Fault, FaultyProxy, Hangs, Reset, Says, Trickles, Truncated
from tests.s3_server import S3Server

pytestmark = pytest.mark.slow

SLOW_DOWN, BROKEN = Says(503, "SlowDown"), Says(500, "InternalError")
DONE_BUT = Says(500, "InternalError", after=True)
SKEWED, UNSIGNED = Says(403, "RequestTimeTooSkewed"), Says(403, "SignatureDoesNotMatch")
COMMIT, PART, LOG = r"PUT .*_delta_log/\d", r"PUT .*/_window", r"GET .*_delta_log/\d"
LIST, GET_PART, LEASE = r"GET .*list-type=2", r"GET .*/_window", r"PUT .*_lease\.json"
LONGEST = 45.0  # seconds to a clear failure, on a busy machine


@dataclass
class Store:
    """A bucket behind a proxy, and what is opened through it."""

    server: S3Server
    bucket: str
    proxy: FaultyProxy

    @property
    def settings(self) -> Settings:
        return self.server.settings(s3_endpoint=self.proxy.endpoint)

    def tables(self) -> DeltaTables:
        return open_tables(f"s3://{self.bucket}/t", self.settings)

    def zone(self) -> Any:
        return open_zone(f"s3://{self.bucket}/drop", self.settings)

    def drop(self, data: bytes) -> Any:
        client = self.server.client()
        client.put_object(Bucket=self.bucket, Key="drop/a.parquet", Body=data)
        ((ref,), _) = self.zone().list()
        return ref


@pytest.fixture
def store(s3: S3Server) -> Iterator[Store]:
    with FaultyProxy(s3.endpoint) as proxy:
        yield Store(s3, s3.make_bucket(), proxy)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time-outs of a second, so that a store that hangs is given up in seconds."""
    monkeypatch.setattr(adapter, "READ_SECONDS", 1)
    monkeypatch.setattr(adapter, "CONNECT_SECONDS", 1)


PASSING: list[tuple[str, Fault, int]] = [
    (COMMIT, SLOW_DOWN, 3),
    (COMMIT, BROKEN, 2),
    (COMMIT, DONE_BUT, 1),
    (COMMIT, Reset(), 2),
    (COMMIT, Reset(after=True), 1),
    (PART, SLOW_DOWN, 3),
    (PART, DONE_BUT, 2),
    (PART, Reset(after=True), 2),
    (LOG, SLOW_DOWN, 3),
    (LOG, Truncated(), 1),
    (LIST, Truncated(), 2),
    (LIST, Reset(), 2),
    (GET_PART, SLOW_DOWN, 3),
    (GET_PART, Truncated(), 2),
    (GET_PART, Reset(), 2),
    (GET_PART, Trickles(300, 0.05), 1),
]


@pytest.mark.parametrize("case", PASSING, ids=str)
def test_34_a_table_outlives_a_burst(store: Store, case: tuple[str, Fault, int]) -> None:
    tables = store.tables()
    tables.append(Append("landed", rows(0, ["early"]), "early"))
    armed = store.proxy.fail(*case)
    assert tables.append(Append("landed", rows(1, ["a", "b"]), "txn")) == 1
    assert keys(store.tables()) == ["early", "a", "b"]
    assert armed.hits == case[2], "the fault was not met as often as it was armed"
    assert tables.append(Append("landed", rows(1, ["a", "b"]), "txn")) == 1


STAYING: list[tuple[str, Fault, str]] = [
    (COMMIT, SLOW_DOWN, "overloaded or failing. Nothing is lost: run again later"),
    (COMMIT, Reset(), "Check that the S3 server is up"),
    (COMMIT, Hangs(), "Check that the S3 server is up"),
    (COMMIT, SKEWED, "clocks of this machine and of the S3 server differ"),
    (COMMIT, UNSIGNED, "Correct RATCHET_S3_ACCESS_KEY"),
    (PART, BROKEN, "overloaded or failing"),
    (PART, Hangs(), "Check that the S3 server is up"),
    (PART, SKEWED, "clocks of this machine"),
    (PART, Says(404, "NoSuchBucket"), "Make the bucket"),
    (LOG, UNSIGNED, "Correct RATCHET_S3_ACCESS_KEY"),
    (LIST, SLOW_DOWN, "overloaded or failing"),
    (LIST, Truncated(), "Check that the S3 server is up"),
]


@pytest.mark.parametrize("case", STAYING, ids=str)
def test_34_a_table_says_what_stays_wrong(
    impatient: None, store: Store, case: tuple[str, Fault, str]
) -> None:
    pattern, fault, said = case
    tables = store.tables()
    tables.append(Append("landed", rows(0, ["early"]), "early"))
    armed, started = store.proxy.fail(pattern, fault), time.monotonic()
    with pytest.raises(StorageError, match=said) as caught:
        tables.append(Append("landed", rows(1, ["a"]), "txn"))
    assert not isinstance(caught.value, Damaged)
    assert time.monotonic() - started < LONGEST
    assert armed.hits <= 3 * 7, "bounded: 3 commits of at most 7 tries"
    store.proxy.heal()
    assert keys(store.tables()) == ["early"], "nothing half-written is visible"
    assert store.tables().append(Append("landed", rows(1, ["a"]), "txn")) == 1
    assert keys(store.tables()) == ["early", "a"]


def test_34_tries_of_one_request_are_spaced(store: Store) -> None:
    """Back-off, not a hammer: the pauses between tries add up to more than the first one twice."""
    tables = store.tables()
    armed = store.proxy.fail(PART, SLOW_DOWN)
    with pytest.raises(StorageError):
        tables.append(Append("landed", rows(0, ["a"]), "txn"))
    assert armed.hits == adapter.ATTEMPTS
    times = [at for at, request in store.proxy.seen if "PUT" in request and "_window" in request]
    assert times[-1] - times[0] > 0.1


def test_34_a_landed_object_is_read_whole_or_not_at_all(impatient: None, store: Store) -> None:
    ref = store.drop(b"0123456789" * 100)
    zone = store.zone()
    for fault, times in ((SLOW_DOWN, 3), (Truncated(), 2), (Reset(), 3), (Trickles(100, 0.01), 1)):
        armed = store.proxy.fail("GET .*a.parquet", fault, times)
        assert zone.read(ref, 10**6) == b"0123456789" * 100
        assert armed.hits == times
    for fault, said in (
        (SLOW_DOWN, "overloaded or failing"),
        (Truncated(), "Check that the S3 server is up"),
        (Hangs(), "Check that the S3 server is up"),
        (Trickles(1, 0.02), "did not arrive within 1 s.* Check that the S3 server is up"),
        (SKEWED, "clocks of this machine"),
    ):
        store.proxy.fail("GET .*a.parquet", fault)
        started = time.monotonic()
        with pytest.raises(StorageError, match=said):
            zone.read(ref, 10**6)
        assert time.monotonic() - started < LONGEST
        store.proxy.heal()
    assert len(zone.read(ref, 10**6)) == 1000


def test_34_31_a_lease_outlives_a_burst_and_is_never_held_twice(store: Store) -> None:
    lease = open_lease(f"s3://{store.bucket}/t", store.settings)
    for token, (fault, times) in enumerate(
        ((SLOW_DOWN, 3), (DONE_BUT, 1), (Reset(), 2), (Reset(after=True), 1)), 1
    ):
        armed = store.proxy.fail(LEASE, fault, times)
        with lease.hold("a run") as held:
            assert held == token
            lease.check()
        assert armed.hits == times


def test_31_34_a_lease_that_cannot_be_renewed_stops_its_run(impatient: None, store: Store) -> None:
    client = adapter.client(store.settings)
    lease = S3Lease(client, store.bucket, "t/_lease.json", ttl_seconds=2)
    with lease.hold("the run"):
        store.proxy.fail(LEASE, SLOW_DOWN)
        time.sleep(3)
        with pytest.raises(StorageError, match="could not be renewed in time"):
            lease.check()
    store.proxy.heal()
    time.sleep(2)
    with S3Lease(client, store.bucket, "t/_lease.json", ttl_seconds=2).hold("next") as token:
        assert token == 2


def test_wrong_keys_and_a_missing_bucket_are_told_apart(store: Store) -> None:
    opens: list[Callable[[Settings], object]] = [
        lambda where: open_tables(f"s3://{store.bucket}/t", where),
        lambda where: open_lease(f"s3://{store.bucket}/t", where),
        lambda where: open_zone(f"s3://{store.bucket}/drop", where).list(),
    ]
    wrong = store.server.settings(s3_secret_key="not-the-secret-key")
    for action in opens:
        with pytest.raises(StorageError, match="Correct RATCHET_S3_ACCESS_KEY") as caught:
            action(wrong)
        assert "not-the-secret-key" not in str(caught.value)
        store.proxy.fail(".*", Says(404, "NoSuchBucket"))
        with pytest.raises(StorageError, match="Make the bucket"):
            action(store.settings)
        store.proxy.heal()
    with pytest.raises(StorageError, match="Make the bucket"):
        open_zone("s3://a-bucket-that-is-not-there/drop", store.server.settings()).list()


def test_35_an_unfinished_upload_into_the_landing_zone_is_invisible(store: Store) -> None:
    client, key = store.server.client(), "drop/big.parquet"
    upload = client.create_multipart_upload(Bucket=store.bucket, Key=key)["UploadId"]
    place = {"Bucket": store.bucket, "Key": key, "UploadId": upload}
    part = client.upload_part(**place, PartNumber=1, Body=b"x" * 5_300_000)
    assert store.zone().list() == ([], [])
    done = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    client.complete_multipart_upload(**place, MultipartUpload=done)
    (found,), _ = store.zone().list()
    assert (found.key, found.size) == ("big.parquet", 5_300_000)
    assert store.zone().read(found, 10**8) == b"x" * 5_300_000


# ------------------------------------------------------------------- the whole loop


@pytest.fixture
def faulty_cloud(cloud: Cloud) -> Iterator[tuple[Cloud, FaultyProxy]]:
    with FaultyProxy(cloud.server.endpoint) as proxy:
        cloud.endpoint = proxy.endpoint
        yield cloud, proxy


def test_34_a_cycle_outlives_a_burst_at_each_step(
    faulty_cloud: tuple[Cloud, FaultyProxy], tmp_path: Path
) -> None:
    cloud, proxy = faulty_cloud
    for index in range(5):
        cloud.land(index)
    armed = [
        proxy.fail(pattern, fault, times)
        for pattern, fault, times in (
            (r"GET .*drop/features", Truncated(), 2),
            (r"GET .*drop/labels", SLOW_DOWN, 3),
            (r"PUT .*landed/_delta_log", DONE_BUT, 1),
            (r"PUT .*objects/_delta_log", Reset(after=True), 1),
            (r"PUT .*accepted/_window", SLOW_DOWN, 2),
            (r"PUT .*accepted/_delta_log", Reset(after=True), 1),
            (r"GET .*accepted/_window", Truncated(), 2),
            (r"PUT .*decisions/_delta_log", DONE_BUT, 1),
            (LEASE, DONE_BUT, 1),
            (LIST, Truncated(), 1),
        )
    ]
    made = cloud.run()
    assert [a.hits for a in armed] == [a.times for a in armed]
    expected = run_on_disk(tmp_path / "disk", 5)
    assert [what_matters(d) for d in made] == [what_matters(d) for d in expected]


def test_34_a_cycle_that_fails_leaves_the_champion_and_its_rerun_completes_once(
    faulty_cloud: tuple[Cloud, FaultyProxy], impatient: None, tmp_path: Path
) -> None:
    cloud, proxy = faulty_cloud
    for index in range(5):
        cloud.land(index)
    made = cloud.run()
    cases: list[tuple[str, Fault, str]] = [
        (r"GET .*drop/features/w005", Truncated(), "Check that the S3 server is up"),
        (r"PUT .*accepted/_delta_log", SLOW_DOWN, "overloaded or failing"),
        (r"PUT .*decisions/_delta_log", Hangs(), "Check that the S3 server is up"),
    ]
    for index, (pattern, fault, said) in enumerate(cases, 5):
        before = cloud.open().registry.alias("tiny", "champion")
        cloud.land(index)
        armed = proxy.fail(pattern, fault)
        with pytest.raises(RatchetError, match=said):
            cloud.run()
        assert armed.hits, pattern
        proxy.heal()
        space = cloud.open()
        assert space.registry.alias("tiny", "champion") == before
        assert cloud.rows(DECISIONS)["_window"].to_pylist()[-1] == made[-1].window_index
        made += cloud.run()
    expected = run_on_disk(tmp_path / "disk", 5 + len(cases))
    assert [what_matters(d) for d in made] == [what_matters(d) for d in expected]
    for name, count in ((LANDED, 8), (LANDED_LABELS, 8), (ACCEPTED, 7)):
        found = cloud.rows(name)[KEY].to_pylist()
        assert len(found) == len(set(found)) == count * 400, name
