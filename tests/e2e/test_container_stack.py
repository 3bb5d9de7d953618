"""The services of ``infra/compose.yaml``, run as processes: an engine's work but for the walls."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from infra.container import provide
from infra.local import s3
from infra.local.secrets import StackError, load
from ratchet.adapters.tables.opening import storage_options
from tasks import decisions
from tests import streams
from tests.compose_processes import Engine

pytestmark = pytest.mark.slow

DEPLOYMENTS = """
name: tiny
pull: []
deployments:
  - name: tiny
    entrypoint: flows.retrain.retrain
    parameters: {pipeline: tiny}
    concurrency_limit: {limit: 1, collision_strategy: ENQUEUE, grace_period_seconds: 120}
    work_pool: {name: ratchet}
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    home = tmp_path_factory.mktemp("compose")
    streams.project(home, 0)
    (home / "prefect.yaml").write_text(DEPLOYMENTS)
    made = Engine(home)
    try:
        yield made
    finally:
        made.down()


def endpoint(engine: Engine) -> str:
    return f"https://localhost:{engine.port('s3')}"


def trust(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = str(engine.credentials / "trust.pem")
    monkeypatch.setenv("AWS_CA_BUNDLE", bundle)
    monkeypatch.setenv("SSL_CERT_FILE", bundle)


def space(engine: Engine) -> Any:
    return streams.workspace(
        engine.home,
        root="s3://tables",
        landing="s3://",
        s3_endpoint=endpoint(engine),
        s3_access_key="ratchet",
        s3_secret_key=load(engine.credentials).s3_ratchet,
    )


def test_s3_speaks_tls_and_only_to_who_trusts_its_authority(engine, monkeypatch):
    from botocore.exceptions import SSLError

    engine.up("buckets")
    secret = load(engine.credentials).s3_ratchet
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        s3.client(endpoint(engine), "ratchet", secret).list_objects_v2(Bucket="tables")
    with pytest.raises(httpx.HTTPError):
        httpx.get(endpoint(engine).replace("https", "http") + "/tables").raise_for_status()
    trust(engine, monkeypatch)
    boto = s3.client(endpoint(engine), "ratchet", secret)
    assert boto.list_objects_v2(Bucket="tables")["KeyCount"] >= 1  # what the set-up tried
    options = storage_options(space(engine).settings)  # Delta has a client of its own
    write_deltalake("s3://tables/tried", pa.table({"a": [1]}), storage_options=options)
    assert DeltaTable("s3://tables/tried", storage_options=options).version() == 0


def test_each_party_may_do_just_what_it_needs(engine, monkeypatch):
    from botocore.exceptions import ClientError

    engine.up("buckets")
    trust(engine, monkeypatch)
    secrets = load(engine.credentials)
    sender, ratchet, mlflow = (
        s3.client(endpoint(engine), name, getattr(secrets, f"s3_{name}")) for name in s3.RIGHTS
    )
    sender.put_object(Bucket="landing", Key="tried", Body=b"x")
    assert ratchet.get_object(Bucket="landing", Key="tried")["Body"].read() == b"x"
    for refused in (
        lambda: sender.get_object(Bucket="landing", Key="tried"),
        lambda: ratchet.put_object(Bucket="landing", Key="tried", Body=b"y"),
        lambda: ratchet.list_objects_v2(Bucket="artifacts"),
        lambda: mlflow.list_objects_v2(Bucket="tables"),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|Forbidden"):
            refused()


def test_54_only_the_gateway_can_be_reached_from_another_container(tmp_path):
    engine = Engine(tmp_path, gateway="127.0.0.2")  # its own address, as in a container network
    try:
        engine.up("s3")
        inner = tuple(p for name, p in engine.inner.items() if name != "s3.port.grpc")
        socket.create_connection(("127.0.0.2", engine.port("s3")), timeout=3).close()
        provide.check_side_doors("127.0.0.2", inner)
        with pytest.raises(StackError, match="takes connections"):
            provide.check_side_doors("127.0.0.1", inner)  # so the check does see an open door
        for service, method in (
            ("messaging_pb.SeaweedS3IamCache", "PutIdentity"),
            ("messaging_pb.SeaweedS3IamCache", "PutPolicy"),
        ):
            assert refusal(engine.inner["s3.port.grpc"], service, method) == "16"  # unauthenticated
    finally:
        engine.down()


def refusal(port: int, service: str, method: str) -> str:
    """The gRPC status of an unsigned call with an empty message."""
    with httpx.Client(http1=False, http2=True) as client:
        answer = client.post(
            f"http://127.0.0.2:{port}/{service}/{method}",
            content=b"\0\0\0\0\0",
            headers={"content-type": "application/grpc", "te": "trailers"},
        )
    return str(answer.headers.get("grpc-status", "none"))


def test_the_whole_stack_decides_what_landed(engine, monkeypatch):
    engine.up("worker")
    trust(engine, monkeypatch)
    secrets = load(engine.credentials)
    sender = s3.client(endpoint(engine), "sender", secrets.s3_sender)
    for index in range(2):
        for key, data in streams.files_of(index).items():
            sender.put_object(Bucket="landing", Key=key, Body=data)

    base = f"http://127.0.0.1:{engine.port('prefect')}/api"
    assert httpx.post(f"{base}/flows/count", timeout=20).status_code == 401
    with httpx.Client(base_url=base, auth=("ratchet", secrets.prefect), timeout=20) as prefect:
        deployment = prefect.get("/deployments/name/retrain/tiny").raise_for_status().json()
        run = prefect.post(f"/deployments/{deployment['id']}/create_flow_run", json={}).json()
        state = ended(prefect, run["id"])
    log = (engine.home / "logs" / "worker.log").read_text(errors="replace")
    assert state["type"] == "COMPLETED", (state, log[-3000:])
    assert [d.window for d in decisions.done(space(engine))] == ["0"]

    for name, process in engine.running.items():  # 56: of what anybody on the machine can see
        arguments = " ".join(process.member.command)
        assert not any(value in arguments for value in vars(secrets).values()), name
    for path in (engine.home / "logs").iterdir():
        text = path.read_text(errors="replace")
        assert not any(value in text for value in vars(secrets).values()), path.name


def ended(prefect: httpx.Client, run: str) -> dict[str, Any]:
    deadline = time.monotonic() + 480  # a busy machine takes minutes
    while time.monotonic() < deadline:
        state: dict[str, Any] = prefect.get(f"/flow_runs/{run}").json()["state"]
        if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return state
        time.sleep(1)
    raise AssertionError(f"the run did not end: {state}")


def test_called_again_the_one_shot_parts_change_nothing(engine):
    engine.up("accounts")
    for name in ("databases", "buckets", "accounts"):
        engine.running.pop(name)
        engine.up(name)
    assert (engine.credentials / "secrets.json").stat().st_mode & 0o777 == 0o600
