"""A planted secret shows up nowhere: not in what is said, logged, decided, kept or drawn."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from flows.retrain import run_windows
from ratchet.adapters.landing import open_zone
from ratchet.adapters.mlflow_registry import open_registry
from ratchet.adapters.tables import open_tables
from ratchet.errors import RatchetError
from ratchet.settings import Settings, settings
from tasks import decisions, windows
from tests.cli import Terminal, terminal
from tests.mlflow_database import fresh_mlflow
from tests.s3_server import S3Server
from tests.streams import (
    PIPELINE,
    files_of,
    land_window,
    no_reports,
    project,
    window_rows,
    workspace,
)

PLANTED = "pl4nted/s3cret+value"
QUOTED = ("pl4nted%2Fs3cret%2Bvalue", "pl4nted%2fs3cret%2bvalue")
CLOSED = "127.0.0.1:9"  # the discard port: nothing listens there


def assert_absent(text: str) -> None:
    for form in (PLANTED, *QUOTED, "pl4nted"):
        assert form not in text


def everything_below(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        yield path, path.read_bytes()


@pytest.fixture
def ratchet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Terminal]:
    yield terminal(tmp_path / "home", monkeypatch, capsys)
    settings.cache_clear()


@pytest.mark.slow
def test_fault_56_a_loop_on_s3_and_mlflow_keeps_its_secrets(
    s3: S3Server,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The real S3 secret key is the planted secret: it is in use, and it is written nowhere."""
    caplog.set_level(logging.INFO)
    bucket, home, secret = s3.make_bucket(), tmp_path / "home", s3.secret_key
    project(home, pipeline=PIPELINE.replace('"landing"', f'"s3://{bucket}/drop"', 1))
    rows = window_rows(1).to_pylist()
    rows[3]["x"] = 99.0
    for index in range(4):
        table = pa.Table.from_pylist(rows) if index == 1 else None
        for key, data in files_of(index, table).items():
            s3.client().put_object(Bucket=bucket, Key=f"drop/{key}", Body=data)
    s3.client().put_object(Bucket=bucket, Key="drop/features/bad.parquet", Body=b"PAR1 no")

    database = fresh_mlflow(tmp_path / "mlflow")
    space = no_reports(
        workspace(
            home,
            root=f"s3://{bucket}/tables",
            mlflow_uri=f"{database.tracking_uri}?timeout=5",
            s3_endpoint=s3.endpoint,
            s3_access_key=s3.access_key,
            s3_secret_key=secret,
        )
    )
    made = list(run_windows(space, windows.undecided(space, None, None)))
    assert "promoted" in {d.outcome for d in made}
    assert {e["kind"] for e in _entries(space)} == {"row", "object"}

    listed = s3.client().list_objects_v2(Bucket=bucket)["Contents"]
    assert len(listed) > 20
    for item in listed:
        body = s3.client().get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
        assert secret.encode() not in body, item["Key"]
    kept = [*everything_below(home), *everything_below(tmp_path / "mlflow")]
    assert len(kept) > 10
    for path, data in kept:
        assert secret.encode() not in data, path
    said = capfd.readouterr()
    assert secret not in caplog.text + said.out + said.err + repr(space) + repr(space.settings)


def _entries(space: object) -> list[dict[str, object]]:
    from tasks.quarantine import entries

    return entries(space, only_open=True)  # type: ignore[arg-type]


def planted(**changes: object) -> Settings:
    values: dict[str, object] = {
        "s3_endpoint": f"http://{CLOSED}",
        "s3_access_key": "access",
        "s3_secret_key": PLANTED,
    }
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


def chain(error: BaseException) -> str:
    """An error as a traceback would print it, with everything that caused it."""
    import traceback

    return "".join(traceback.format_exception(error)) + repr(error)


def test_fault_56_no_error_of_the_store_tells_the_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(RatchetError) as zone:
        open_zone("s3://bucket/drop", planted()).list()
    with pytest.raises(RatchetError) as tables:
        open_tables("s3://bucket/tables", planted()).version("accepted")
    for caught in (zone, tables):
        assert_absent(chain(caught.value))
    assert_absent(caplog.text)


@pytest.mark.parametrize(
    "address",
    [
        f"http://ada:{QUOTED[0]}@{CLOSED}",
        f"postgresql+psycopg2://ada:{QUOTED[0]}@{CLOSED}/mlflow",
    ],
)
def test_fault_56_no_error_of_the_registry_tells_the_password(
    address: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    registry = open_registry(Settings(state=tmp_path, mlflow_uri=address))
    registry.calls.patience = 0.2
    with pytest.raises(RatchetError) as caught:
        registry.versions("flights")
    assert_absent(chain(caught.value))
    assert_absent(caplog.text)


def test_fault_56_no_command_tells_a_secret(
    ratchet: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(ratchet.home, 4)
    address = f"http://ada:{QUOTED[0]}@{CLOSED}"
    for name, value in (
        ("S3_ENDPOINT", f"http://{CLOSED}"),
        ("S3_ACCESS_KEY", "access"),
        ("S3_SECRET_KEY", PLANTED),
        ("MLFLOW_URI", address),
        ("NOTIFY_URLS", f"json://{CLOSED}/{PLANTED} jsons://ada:{QUOTED[0]}@{CLOSED}/"),
        ("LOG_FORMAT", "json"),
        ("LOG_LEVEL", "DEBUG"),
    ):
        monkeypatch.setenv(f"RATCHET_{name}", value)
    settings.cache_clear()
    said = [ratchet("backfill", "tiny", "--json"), ratchet("status"), ratchet("explain", "2000")]
    assert [s.code for s in said] == [0, 0, 0]
    said += [ratchet("ui"), ratchet("report", "0"), ratchet("quarantine", "list")]

    path = ratchet.home / "pipelines" / "tiny.toml"
    path.write_text(path.read_text().replace('"landing"', '"s3://bucket/drop"', 1))
    failed = ratchet("backfill", "tiny")
    assert failed.code == 2
    monkeypatch.setenv("RATCHET_ROOT", "s3://bucket/tables")
    settings.cache_clear()
    said += [failed, ratchet("status"), ratchet("verify", "1")]
    assert said[-2].code == 2
    for one in said:
        assert_absent(one.out + one.err)
    for file, data in everything_below(ratchet.home):
        assert b"pl4nted" not in data, file


def test_fault_56_a_link_in_a_decision_names_no_password(tmp_path: Path) -> None:
    """A tracking server's address may hold a password; the links to its pages must not."""
    project(tmp_path, 3)
    space = no_reports(workspace(tmp_path, mlflow_uri=f"http://ada:{QUOTED[0]}@{CLOSED}"))
    served = open_registry(space.settings)
    local = fresh_mlflow(tmp_path / "mlflow")
    local.ui_url = served.ui_url
    space.__dict__["registry"] = local
    land_window(tmp_path, 3)
    list(run_windows(space, windows.undecided(space, None, None)))
    found = decisions.done(space)
    assert found
    for decision in found:
        assert decision.links["mlflow"].startswith(f"http://{CLOSED}/#/experiments/")
        assert_absent(json.dumps(decision.as_json()))
