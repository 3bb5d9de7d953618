"""The local stack as an operator has it: up, a schedule, members killed, down, up again."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections import Counter
from pathlib import Path

import httpx
import pytest

from infra.local import s3
from tests.stack import Stack, wait

pytestmark = pytest.mark.slow


def test_the_schedule_runs_what_landed_and_the_operator_sees_it(stack: Stack) -> None:
    made = stack.decided()
    assert [d.window for d in made] == ["0", "1000", "2000", "3000"]
    assert "promoted" in {d.outcome for d in made}
    champion = made[-1].champion_after
    assert champion is not None

    found = stack.mlflow("registered-models/alias", name="tiny", alias="champion")
    assert found["model_version"]["version"] == str(champion)
    promoted = {"flow_runs": {"tags": {"all_": ["promoted"]}, "name": {"like_": "tiny"}}}
    runs = wait(lambda: stack.prefect("flow_runs/filter", promoted))
    assert all(run["auto_scheduled"] for run in runs)
    shown = {a["key"] for a in stack.prefect("artifacts/filter", {}) if a["key"]}
    for window in ("0", "1000", "2000", "3000"):
        assert f"tiny-{window}-decision" in shown
    every = stack.prefect("artifacts/filter", {})
    said = httpx.get(f"http://127.0.0.1:{stack.ports['metrics']}/metrics", timeout=30).text
    assert 'ratchet_up{pipeline="tiny"} 1.0' in said
    assert f'ratchet_champion_version{{pipeline="tiny"}} {float(champion)}' in said
    link = next(a for a in every if (a["key"] or "").endswith("mlflow"))
    address = link["data"].split("(")[1].split(")")[0]
    assert address.startswith(f"http://127.0.0.1:{stack.ports['mlflow']}/#/experiments/")


def test_up_again_changes_nothing(stack: Stack) -> None:
    before = {name: m["pid"] for name, m in stack.members().items()}
    said = stack.up()
    assert {name: m["pid"] for name, m in stack.members().items()} == before
    credentials = stack.project / "stack" / "credentials.env"
    assert str(credentials) in said
    assert credentials.stat().st_mode & 0o777 == 0o600
    assert stack.secrets.prefect not in said
    assert stack.call("status").returncode == 0


def test_each_party_may_do_just_what_it_needs(stack: Stack) -> None:
    from botocore.exceptions import ClientError

    port, secrets = stack.ports["s3"], stack.secrets
    sender = s3.client(port, "sender", secrets.s3_sender)
    ratchet = s3.client(port, "ratchet", secrets.s3_ratchet)
    mlflow = s3.client(port, "mlflow", secrets.s3_mlflow)
    key = "features/w000.parquet"
    for refused in (
        lambda: sender.get_object(Bucket="landing", Key=key),
        lambda: sender.put_object(Bucket="tables", Key="forged", Body=b"x"),
        lambda: ratchet.put_object(Bucket="landing", Key=key, Body=b"x"),
        lambda: ratchet.put_object(Bucket="artifacts", Key="forged", Body=b"x"),
        lambda: mlflow.get_object(Bucket="tables", Key="_stack/probe"),
        lambda: s3.client(port, "ratchet", "wrong").list_objects_v2(Bucket="tables"),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|Denied|SignatureDoesNotMatch"):
            refused()
    assert ratchet.get_object(Bucket="landing", Key=key)["Body"].read()


def test_53_54_strangers_are_refused(stack: Stack) -> None:
    prefect = f"http://127.0.0.1:{stack.ports['prefect']}/api/flows/filter"
    mlflow = f"http://127.0.0.1:{stack.ports['mlflow']}/api/2.0/mlflow/experiments/search"
    for place in (prefect, mlflow):
        assert httpx.post(place, json={}).status_code == 401
    foreign = httpx.post(mlflow, json={}, headers={"Host": "evil.example"})
    assert foreign.status_code == 403
    filer = stack.inner + s3.INNER.index("filer.port")
    for method in ("GET", "PUT", "DELETE"):
        place = f"http://127.0.0.1:{filer}/buckets/tables/_stack/probe"
        assert httpx.request(method, place).status_code == 401


def test_27_a_killed_member_is_started_again_and_the_others_stay(stack: Stack) -> None:
    """The others are killed in the middle of a cycle: ``test_stack_kills.py``."""
    before = stack.members()
    os.kill(before["metrics"]["pid"], signal.SIGKILL)
    wait(lambda: stack.members()["metrics"]["restarts"] > before["metrics"]["restarts"])
    wait(lambda: all(m["state"] == "healthy" for m in stack.members().values()))
    for name, member in stack.members().items():
        assert (member["pid"] == before[name]["pid"]) is (name != "metrics")


def test_27_the_supervisor_may_be_killed_and_up_starts_everything_again(stack: Stack) -> None:
    decided = len(stack.decided())
    before = {name: m["pid"] for name, m in stack.members().items()}
    supervisor = json.loads((stack.project / "stack" / "status.json").read_text())["supervisor"]
    os.kill(supervisor, signal.SIGKILL)
    stack.up()  # at once, while what was left is still ending
    assert not any(Path(f"/proc/{pid}").exists() for pid in before.values())
    assert set(before) == set(stack.members())
    stack.land(decided + 1)
    made = wait(lambda: (found := stack.decided()) and len(found) > decided and found)
    assert set(Counter(d.cycle_key for d in made).values()) == {1}


def test_a_backfill_cancelled_in_the_middle_is_resumed_and_touches_no_champion(
    stack: Stack,
) -> None:
    served = stack.mlflow("registered-models/alias", name="tiny", alias="champion")
    wanted = [d.window for d in stack.decided()]
    stack.schedule(on=False)
    asked = {"parameters": {"pipeline": "tiny", "replay": "cancelled"}}
    run = stack.start("backfill", asked)  # a scheduled run at work is waited for
    wait(lambda: len(stack.decided("cancelled")) >= 2 or stack.ended(run))
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    stack.prefect(f"flow_runs/{run}/set_state", cancelling)
    assert wait(lambda: stack.ended(run)) == "CANCELLED", stack.why(run)
    done = [d.window for d in stack.decided("cancelled")]
    assert 2 <= len(done) < len(wanted)
    again = stack.start("backfill", asked)  # at once: what the first may still hold is waited for
    assert wait(lambda: stack.ended(again)) == "COMPLETED", stack.why(again)
    assert [d.window for d in stack.decided("cancelled")] == wanted
    assert stack.mlflow("registered-models/alias", name="tiny", alias="champion") == served
    stack.schedule(on=True)


def test_down_leaves_nothing_and_up_finds_everything_again(stack: Stack) -> None:
    before = stack.decided()
    pids = [m["pid"] for m in stack.members().values()]
    assert stack.call("down").returncode == 0
    assert stack.call("status").returncode == 1
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    for port in stack.ports.values():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    stack.up()
    assert [d.digest for d in stack.decided()][: len(before)] == [d.digest for d in before]
    stack.mlflow("registered-models/alias", name="tiny", alias="champion")
    logs = "".join(p.read_text(errors="replace") for p in (stack.project / "stack").rglob("*.log"))
    for secret in vars(stack.secrets).values():
        assert secret not in logs
    assert stack.call("down").returncode == 0
