"""Every source of record answers alike: Parquet, SQL and HTTP."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from ratchet.adapters.record import open_record
from ratchet.contracts.columns import EVENT, KEY, LABEL
from ratchet.contracts.definition import parse
from ratchet.errors import DefinitionError, StorageError
from ratchet.ingest import parse_record
from ratchet.settings import Settings
from tests import streams
from tests.postgres_server import PostgresServer
from tests.s3_server import free_ports

ROWS = streams.window_rows(0, rows=300)
SECRET = "hunter2-is-a-secret"
TIMESTAMP = 'kind = "timestamp"\nwindow = "7d"\norigin = "1970-01-01"'


class Service(BaseHTTPRequestHandler):
    """The HTTP form of the record; misbehaves as its server's ``mood`` says."""

    def do_POST(self) -> None:
        mood = self.server.mood  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("Authorization") != f"Bearer {SECRET}":
            return self._answer(401, b"{}")
        if mood == "broken":
            return self._answer(500, b"")
        if mood == "strange":
            return self._answer(200, b"[1, 2")
        if mood == "huge":
            return self._answer(200, b" " * (17 * 2**20))
        rows = ROWS.to_pylist()
        if self.path.endswith("lookup"):
            rows = [r for r in rows if r["id"] in body["keys"]]
        else:
            rows = [r for r in rows if body["start"] <= r["t"] < body["end"]][: body["rows"]]
        return self._answer(200, json.dumps({"rows": rows}).encode())

    def _answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.mood = "well"  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def definition_for(uri: str, table: str = "") -> Any:
    extra = f'\n[record]\nuri = "{uri}"\n' + (f'table = "{table}"\n' if table else "")
    return parse(streams.PIPELINE + extra)


def opened(uri: str, table: str = "", home: Path = Path()) -> tuple[Any, Any]:
    definition = definition_for(uri, table)
    settings = Settings(home=home, record_password=SecretStr(SECRET))
    return definition, open_record(definition, settings)


@pytest.fixture(params=["file", "directory", "sqlite", "postgres", "http"])
def record(request: Any, tmp_path: Path) -> tuple[Any, Any]:
    if request.param == "file":
        pq.write_table(ROWS, tmp_path / "truth.parquet")
        return opened("truth.parquet", home=tmp_path)
    if request.param == "directory":
        (tmp_path / "truth").mkdir()
        pq.write_table(ROWS.slice(0, 100), tmp_path / "truth" / "a.parquet")
        pq.write_table(ROWS.slice(100), tmp_path / "truth" / "b.parquet")
        return opened("truth", home=tmp_path)
    if request.param == "sqlite":
        with sqlite3.connect(tmp_path / "truth.db") as db:
            db.execute(
                'create table "the truth" (id text, t integer, x real, z real, c text, y int)'
            )
            db.executemany(
                'insert into "the truth" values (?, ?, ?, ?, ?, ?)',
                [tuple(r.values()) for r in ROWS.to_pylist()],
            )
        return opened(f"sqlite:///{tmp_path}/truth.db", "the truth")
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        return opened(in_postgres(server), "Audit.The Truth")
    server = request.getfixturevalue("service")
    return opened(f"http://127.0.0.1:{server.server_port}/truth")


def in_postgres(server: PostgresServer, times: str = "bigint") -> str:
    """A schema with a mixed-case table and a role that may read it and nothing else."""
    with server.connect() as cursor:
        cursor.execute("select 1 from pg_roles where rolname = 'reader'")
        if cursor.fetchone() is None:
            cursor.execute("create role reader login password %s", (SECRET,))
        cursor.execute('drop schema if exists "Audit" cascade; create schema "Audit"')
        cursor.execute('grant usage on schema "Audit" to reader')
        cursor.execute(
            f'create table "Audit"."The Truth" (id text, t {times}, x float8, z float8, c text,'
            " y numeric)"
        )
        moment = "to_timestamp(%s / 1e6)" if times != "bigint" else "%s"
        cursor.executemany(
            f'insert into "Audit"."The Truth" values (%s, {moment}, %s, %s, %s, %s)',  # noqa: S608
            [tuple(r.values()) for r in ROWS.to_pylist()],
        )
        cursor.execute('grant select on "Audit"."The Truth" to reader')
    return f"postgresql://reader@127.0.0.1:{server.port}/postgres"


def test_moments_with_a_time_zone_are_read_from_postgres(postgres: PostgresServer) -> None:
    uri = in_postgres(postgres, "timestamptz")
    text = streams.PIPELINE.replace('kind = "integer"\nwindow = 1000', TIMESTAMP)
    text = text.replace("delay = 1000", 'delay = "1d"')
    definition = parse(text + f'\n[record]\nuri = "{uri}"\ntable = "Audit.The Truth"\n')
    source = open_record(definition, Settings(record_password=SecretStr(SECRET)))
    assert source is not None
    found = parse_record(source.lookup(["k0-5"]), definition)
    truth = {r["id"]: r for r in ROWS.to_pylist()}
    assert found[EVENT].to_pylist() == [truth["k0-5"]["t"]]
    drawn = parse_record(source.sample(200, 600, 25, 7), definition)
    assert drawn.num_rows == 25
    assert all(200 <= t < 600 for t in drawn[EVENT].to_pylist())


def test_a_database_that_refuses_or_is_gone_is_no_evidence(postgres: PostgresServer) -> None:
    uri = in_postgres(postgres)
    definition = definition_for(uri, "Audit.The Truth")
    wrong = Settings(record_password=SecretStr("a-wrong-password"))
    (closed,) = free_ports(1)
    gone = definition_for(uri.replace(str(postgres.port), str(closed)), "Audit.The Truth")
    other = definition_for(uri, "Audit.Another")
    right = Settings(record_password=SecretStr(SECRET))
    for asked, settings in ((definition, wrong), (gone, right), (other, right)):
        source = open_record(asked, settings)
        assert source is not None
        with pytest.raises(StorageError, match="cannot be read") as caught:
            source.lookup(["k0-1"])
        assert SECRET not in str(caught.value)
        assert "a-wrong-password" not in str(caught.value)


def test_rows_are_found_by_key(record: tuple[Any, Any]) -> None:
    definition, source = record
    keys = ["k0-5", "k0-250", "k0-7", "nobody", "'; drop table x; --"]
    found = parse_record(source.lookup(keys), definition)
    assert sorted(found[KEY].to_pylist()) == ["k0-250", "k0-5", "k0-7"]
    truth = {r["id"]: r for r in ROWS.to_pylist()}
    for row in found.to_pylist():
        assert row["x"] == truth[row[KEY]]["x"]
        assert row[LABEL] == truth[row[KEY]]["y"]
        assert row[EVENT] == truth[row[KEY]]["t"]


def test_nothing_found_is_no_rows(record: tuple[Any, Any]) -> None:
    definition, source = record
    found = source.lookup(["nobody"])
    assert found.num_rows == 0
    assert parse_record(found, definition).num_rows == 0


def test_a_sample_lies_in_the_span(record: tuple[Any, Any]) -> None:
    definition, source = record
    found = parse_record(source.sample(200, 600, 25, 7), definition)
    assert found.num_rows == 25
    assert all(200 <= t < 600 for t in found[EVENT].to_pylist())


def test_a_service_that_fails_is_no_evidence(service: ThreadingHTTPServer) -> None:
    _, source = opened(f"http://127.0.0.1:{service.server_port}")
    for mood in ("broken", "strange", "huge"):
        service.mood = mood  # type: ignore[attr-defined]
        with pytest.raises(StorageError) as caught:
            source.lookup(["k0-1"])
        assert SECRET not in str(caught.value)


def test_without_the_token_the_service_refuses(service: ThreadingHTTPServer) -> None:
    definition = definition_for(f"http://127.0.0.1:{service.server_port}")
    source = open_record(definition, Settings())
    assert source is not None
    with pytest.raises(StorageError, match="status 401"):
        source.lookup(["k0-1"])


@pytest.mark.parametrize(
    ("uri", "table", "said"),
    [
        ("missing.parquet", "", "cannot be read"),
        ("sqlite:///nowhere/at/all.db", "truth", "cannot be read"),
        ("http://127.0.0.1:9", "", "no answer after 3 tries"),
    ],
)
def test_an_unreachable_record_says_so(uri: str, table: str, said: str, tmp_path: Path) -> None:
    _, source = opened(uri, table, tmp_path)
    with pytest.raises(StorageError, match=said):
        source.lookup(["k0-1"])


@pytest.mark.parametrize(
    ("uri", "table", "said"),
    [
        ("ftp://somewhere", "", "scheme 'ftp'"),
        ("http://example.com", "", "use https"),
        ("https://me:pw@example.com", "", "holds a password"),
        ("sqlite:///x.db", "", "name of the table"),
    ],
)
def test_a_wrong_address_is_refused(uri: str, table: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        opened(uri, table)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    pq.write_table(ROWS.drop_columns(["z"]), tmp_path / "truth.parquet")
    _, source = opened("truth.parquet", home=tmp_path)
    with pytest.raises(StorageError, match="z"):
        source.lookup(["k0-1"])


def test_without_a_record_there_is_none() -> None:
    assert open_record(parse(streams.PIPELINE), Settings()) is None


def test_a_composite_key_is_looked_up_by_its_parts(tmp_path: Path) -> None:
    table = ROWS.append_column("part", pa.array([i % 2 for i in range(ROWS.num_rows)]))
    pq.write_table(table, tmp_path / "truth.parquet")
    text = streams.PIPELINE.replace('key = ["id"]', 'key = ["id", "part"]')
    definition = parse(text + '\n[record]\nuri = "truth.parquet"\n')
    source = open_record(definition, Settings(home=tmp_path))
    assert source is not None
    found = parse_record(source.lookup(["k0-5|1", "k0-6|1"]), definition)
    assert found[KEY].to_pylist() == ["k0-5|1"]
