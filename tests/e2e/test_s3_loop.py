"""The whole loop with its landing zone and its tables on a real S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flows.retrain import one_cycle, run_windows
from ratchet.contracts.columns import (
    ACCEPTED,
    DECISIONS,
    INCIDENTS,
    KEY,
    LABELS,
    LANDED,
    LANDED_LABELS,
    OBJECTS,
    QUARANTINE,
)
from ratchet.contracts.lineage import Decision
from tasks import windows
from tasks.verify import verify
from tasks.workspace import Workspace
from tests.proxy import CuttingProxy
from tests.s3_server import S3Server
from tests.streams import PIPELINE, files_of, project, quick, window_rows, workspace

pytestmark = pytest.mark.slow

TABLES = (LANDED, LANDED_LABELS, OBJECTS, ACCEPTED, LABELS, QUARANTINE, DECISIONS, INCIDENTS)


@dataclass
class Cloud:
    """A project whose landing zone and tables are in one bucket."""

    home: Path
    server: S3Server
    bucket: str
    endpoint: str

    def land(self, index: int, table: pa.Table | None = None) -> None:
        for key, data in files_of(index, table).items():
            self.server.client().put_object(Bucket=self.bucket, Key=f"drop/{key}", Body=data)

    def open(self) -> Workspace:
        settings = {
            "root": f"s3://{self.bucket}/tables",
            "s3_endpoint": self.endpoint,
            "s3_access_key": self.server.access_key,
            "s3_secret_key": self.server.secret_key,
        }
        return quick(workspace(self.home, **settings))

    def run(self) -> list[Decision]:
        space = self.open()
        return list(run_windows(space, windows.undecided(space, None, None)))

    def rows(self, table: str) -> pa.Table:
        return self.open().tables.read(table)

    def stored(self) -> list[str]:
        listed = self.server.client().list_objects_v2(Bucket=self.bucket, Prefix="tables/")
        return [entry["Key"] for entry in listed.get("Contents", ())]


@pytest.fixture
def cloud(s3: S3Server, tmp_path: Path) -> Cloud:
    home, bucket = tmp_path / "cloud", s3.make_bucket()
    landing = PIPELINE.replace('landing = "landing"', f'landing = "s3://{bucket}/drop"')
    project(home, pipeline=landing)
    return Cloud(home, s3, bucket, s3.endpoint)


def run_on_disk(home: Path, count: int) -> list[Decision]:
    project(home, count)
    space = quick(workspace(home))
    return list(run_windows(space, windows.undecided(space, None, None)))


def what_matters(decision: Decision) -> dict[str, Any]:
    """All that must not depend on where the bytes are kept.

    The address of the landing zone is part of the definition, so its digest is left out, and with
    it what is derived from it; a sender without a folder of its own is named after the zone.
    """
    lineage = decision.lineage.as_json() if decision.lineage else {}
    found = decision.as_json() | {"lineage": lineage}
    for name in (
        "cycle_key",
        "definition_digest",
        "seconds",
        "bill",
        "peak_mib",
        "run_id",
        "links",
    ):
        found.pop(name)
    lineage.pop("definition_digest", None)
    found["sources"] = list(found.get("sources", {}).values())
    return found


def test_the_same_decisions_on_s3_as_on_disk(cloud: Cloud, tmp_path: Path) -> None:
    for index in range(5):
        cloud.land(index)
    made = cloud.run()
    expected = run_on_disk(tmp_path / "disk", 5)
    assert [d.outcome for d in made] == [d.outcome for d in expected]
    assert "promoted" in {d.outcome for d in made}
    assert [what_matters(d) for d in made] == [what_matters(d) for d in expected]

    leases = [key for key in cloud.stored() if "lease" in key]
    assert leases, "the lease is kept in the bucket"
    with cloud.open().lease.hold("another run"):  # it was released, so this one need not wait
        pass

    before = {name: cloud.open().tables.version(name) for name in TABLES}
    assert cloud.run() == []
    space = cloud.open()
    again = one_cycle(space, space.calendar.parse(made[-1].window))
    assert again.digest == made[-1].digest
    assert before == {name: space.tables.version(name) for name in TABLES}
    version = made[-1].champion_after
    assert version is not None
    assert [e.verdict for e in verify(space, version)] == ["PASS"] * 4


@pytest.fixture
def cut_cloud(cloud: Cloud) -> Iterator[tuple[Cloud, CuttingProxy]]:
    with CuttingProxy(cloud.server.endpoint) as proxy:
        cloud.endpoint = proxy.endpoint
        yield cloud, proxy


def test_fault_34_answers_lost_in_every_table_double_nothing(
    cut_cloud: tuple[Cloud, CuttingProxy], tmp_path: Path
) -> None:
    cloud, proxy = cut_cloud
    marks = {
        0: b"landed/_delta_log/",
        1: b"objects/_delta_log/",
        2: b"accepted/_delta_log/",
        3: b"labels/_delta_log/",
        4: b"decisions/_delta_log/",
        5: b"decisions/",
    }
    made = []
    for index, mark in marks.items():
        cloud.land(index)
        proxy.cut(mark, "answer")
        made += cloud.run()
        assert proxy.cuts == index + 1, f"no PUT of {mark!r} was cut"
    made += cloud.run()
    expected = run_on_disk(tmp_path / "disk", 6)
    assert [(d.window, d.outcome) for d in made] == [(d.window, d.outcome) for d in expected]
    assert [d.candidate for d in made] == [d.candidate for d in expected]
    for name, rows in ((LANDED, 6 * 400), (LANDED_LABELS, 6 * 400), (ACCEPTED, 5 * 400)):
        keys = cloud.rows(name)[KEY].to_pylist()
        assert len(keys) == len(set(keys)) == rows, name
    phases = [(d["id"], d["phase"]) for d in cloud.rows(DECISIONS).to_pylist()]
    assert len(phases) == len(set(phases))


def test_fault_36_an_object_overwritten_under_its_key_is_new_content(cloud: Cloud) -> None:
    for index in range(4):
        cloud.land(index)
    cloud.run()
    more = window_rows(1, rows=450).slice(400)
    cloud.land(1, pa.concat_tables([window_rows(1), more]))
    cloud.land(4)
    made = cloud.run()

    assert [(d.window, d.accepted) for d in made] == [("3000", 450)]
    copies = {e.check: e.measured for e in made[0].evidence if e.check.endswith(".copies")}
    assert copies == {"rows.copies": 400.0, "labels.copies": 400.0}
    accepted = cloud.rows(ACCEPTED)[KEY].to_pylist()
    assert len(accepted) == len(set(accepted)) == 4 * 400 + 50
    assert set(more["id"].to_pylist()) <= set(accepted)
    ledger = cloud.rows(OBJECTS).to_pylist()
    twice = [x for x in ledger if x["object_key"] == "features/w001.parquet"]
    assert [x["status"] for x in twice] == ["landed", "landed"]
    assert len({x["sha256"] for x in twice}) == 2
