"""MLflow, Prefect, the worker and the metrics, as members of the stack.

Every password travels in the environment or in a file of mode 0600, never among the arguments of a
process, which all users of a machine can see.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.automations import BEAT_SECONDS
from infra.local import postgres, s3
from infra.local.member import Member
from infra.local.secrets import Secrets, StackError, write_private
from ratchet.settings import StackSettings, plain_environment

POOL = "ratchet"
UNAUTHORISED = 401
REMEMBERED_SECONDS = 60  # a changed MLflow password may be valid so long


def members(place: StackSettings, project: Path, secrets: Secrets) -> list[list[Member]]:
    """Every member, in the order of their needs: those of one list start together."""
    home = place.home.resolve()
    return [
        [
            postgres.member(home, place.postgres_port, secrets),
            s3.member(home, place.s3_port, place.s3_inner_port, secrets),
        ],
        [_mlflow(place, home, secrets), _prefect(place, home, secrets)],
        [_worker(place, home, project, secrets), _metrics(place, project, secrets)],
    ]


def user_environment(place: StackSettings, project: Path, secrets: Secrets) -> dict[str, str]:
    """What the worker, or a person's shell, needs to work with the stack as user ``ratchet``."""
    return {
        "PREFECT_API_URL": f"http://127.0.0.1:{place.prefect_port}/api",
        "PREFECT_API_AUTH_STRING": f"ratchet:{secrets.prefect}",
        "RATCHET_HOME": str(project),
        "RATCHET_STATE": str(place.home.resolve() / "state"),
        "RATCHET_ROOT": "s3://tables",
        "RATCHET_LANDING": "s3://",
        "RATCHET_S3_ENDPOINT": s3.endpoint(place.s3_port),
        "RATCHET_S3_ACCESS_KEY": "ratchet",
        "RATCHET_S3_SECRET_KEY": secrets.s3_ratchet,
        "RATCHET_MLFLOW_URI": f"http://127.0.0.1:{place.mlflow_port}",
        "MLFLOW_TRACKING_USERNAME": "ratchet",
        "MLFLOW_TRACKING_PASSWORD": secrets.mlflow_ratchet,
    }


def _mlflow(place: StackSettings, home: Path, secrets: Secrets) -> Member:
    port, config = place.mlflow_port, home / "mlflow-auth.ini"
    database, password = place.postgres_port, secrets.postgres_mlflow
    accounts = postgres.url("psycopg2", database, "mlflow", password, "mlflow_auth")
    text = mlflow_accounts(accounts, secrets.mlflow_admin)
    hosts = f"127.0.0.1:{port},localhost:{port}"
    address = f"http://127.0.0.1:{port}"
    return Member(
        name="mlflow",
        command=(
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
            *("--workers", "1", "--app-name", "basic-auth", "--allowed-hosts", hosts),
            *("--serve-artifacts", "--artifacts-destination", "s3://artifacts"),
        ),
        environment={
            **plain_environment(),
            "MLFLOW_BACKEND_STORE_URI": postgres.url(
                "psycopg2", database, "mlflow", password, "mlflow"
            ),
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.mlflow_flask,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_S3_ENDPOINT_URL": s3.endpoint(place.s3_port),
            "AWS_ACCESS_KEY_ID": "mlflow",
            "AWS_SECRET_ACCESS_KEY": secrets.s3_mlflow,
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        ready=lambda: mlflow_ready(address, secrets.mlflow_admin, secrets.mlflow_ratchet),
        address=address,
        prepare=lambda: write_private(config, text),
    )


def mlflow_accounts(database: str, admin: str) -> str:
    """The file of MLflow's basic auth: where its accounts are, and its administrator's password."""
    return (
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {database}\n"
        f"admin_username = admin\nadmin_password = {admin}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        # Each request would pay for a password hash again, half a second on a busy core.
        f"auth_cache_ttl_seconds = {REMEMBERED_SECONDS}\n"
    )


def mlflow_ready(base: str, admin: str, password: str) -> None:
    """It answers, refuses strangers and foreign hosts, and knows the user ``ratchet``.

    Args:
        base: its address.
        admin: its administrator's password.
        password: that the user ``ratchet`` has, or gets where there is none yet.
    """
    import httpx

    search = f"{base}/api/2.0/mlflow/experiments/search"
    body = {"max_results": 1}
    _expect(httpx.post(search, json=body, timeout=10), UNAUTHORISED, "without a password")
    foreign = httpx.post(search, json=body, headers={"Host": "evil.example"}, timeout=10)
    _expect(foreign, 403, "for a foreign Host")
    ratchet = ("ratchet", password)
    if httpx.post(search, json=body, auth=ratchet, timeout=10).status_code == UNAUTHORISED:
        made = httpx.post(
            f"{base}/api/2.0/mlflow/users/create",
            json={"username": "ratchet", "password": password},
            auth=("admin", admin),
            timeout=10,
        )
        _expect(made, 200, "when the user ratchet was to be made")
    _expect(httpx.post(search, json=body, auth=ratchet, timeout=10), 200, "for the user ratchet")


def _prefect(place: StackSettings, home: Path, secrets: Secrets) -> Member:
    port = place.prefect_port
    return Member(
        name="prefect",
        command=(
            *(sys.executable, "-m", "prefect", "server", "start"),
            *("--host", "127.0.0.1", "--port", str(port)),
        ),
        environment={
            **plain_environment(),
            "PREFECT_HOME": str(home / "prefect-server"),
            "PREFECT_API_DATABASE_CONNECTION_URL": postgres.url(
                "asyncpg", place.postgres_port, "prefect", secrets.postgres_prefect, "prefect"
            ),
            "PREFECT_SERVER_API_AUTH_STRING": f"ratchet:{secrets.prefect}",
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            # In memory, the default, a restart forgets who holds a slot: a dead run would keep it.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
                "prefect.server.concurrency.lease_storage.filesystem"
            ),
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        },
        ready=lambda: _prefect_ready(port, secrets),
        address=f"http://127.0.0.1:{port}",
    )


def _prefect_ready(port: int, secrets: Secrets) -> None:
    import httpx

    count = f"http://127.0.0.1:{port}/api/flows/count"
    _expect(httpx.post(count, timeout=10), UNAUTHORISED, "without a password")
    auth = ("ratchet", secrets.prefect)
    _expect(httpx.post(count, auth=auth, timeout=10), 200, "with the password")


def _worker(place: StackSettings, home: Path, project: Path, secrets: Secrets) -> Member:
    own = home / "worker-secrets"  # a file a setting, such as RATCHET_NOTIFY_URLS
    environment = {
        **plain_environment(),
        **user_environment(place, project, secrets),
        "PREFECT_HOME": str(home / "prefect-worker"),
        "RATCHET_LOG_FORMAT": "json",
        "RATCHET_SECRETS_DIR": str(own),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(BEAT_SECONDS),
    }

    def prepare() -> None:
        own.mkdir(mode=0o700, exist_ok=True)
        deploy(project, environment, ("--type", "process"))

    return Member(
        name="worker",
        command=(
            *(sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL),
            *("--type", "process", "--name", "local", "--limit", "2", "--install-policy", "never"),
        ),
        environment=environment,
        ready=lambda: _worker_ready(place.prefect_port, secrets),
        address=f"http://127.0.0.1:{place.prefect_port}/work-pools/work-pool/{POOL}",
        prepare=prepare,
    )


def _metrics(place: StackSettings, project: Path, secrets: Secrets) -> Member:
    """The exporter: it knows no password but the one that reads the tables."""
    port, mine = place.metrics_port, user_environment(place, project, secrets)
    needed = ("RATCHET_HOME", "RATCHET_STATE", "RATCHET_ROOT")
    return Member(
        name="metrics",
        command=(
            str(Path(sys.executable).with_name("ratchet")),
            *("metrics", "--serve", f"127.0.0.1:{port}"),
        ),
        environment={
            **plain_environment(),
            **{k: v for k, v in mine.items() if k in needed or k.startswith("RATCHET_S3_")},
            "RATCHET_LOG_FORMAT": "json",
        },
        ready=lambda: _metrics_ready(port),
        address=f"http://127.0.0.1:{port}/metrics",
    )


def _metrics_ready(port: int) -> None:
    import httpx

    page = f"http://127.0.0.1:{port}/metrics"
    _expect(httpx.get(page, timeout=30), 200, "about the metrics")
    foreign = httpx.get(page, headers={"Host": "evil.example"}, timeout=10)
    _expect(foreign, 403, "for a foreign Host")


def deploy(project: Path, environment: Mapping[str, str], pool_options: tuple[str, ...]) -> None:
    """The pool, the automation, and every deployment of ``prefect.yaml``, as that file says."""
    prefect = ("prefect", "--no-prompt")
    pool = (*prefect, "work-pool", "create", POOL, *pool_options, "--overwrite")
    for step in (pool, ("infra.automations",), (*prefect, "deploy", "--all")):
        made = subprocess.run(  # noqa: S603 - our own interpreter and arguments
            (sys.executable, "-m", *step),
            env=dict(environment),
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            said = (made.stdout + made.stderr).strip()[-800:]
            raise StackError(f"{' '.join(step)}: {said}")


def _worker_ready(port: int, secrets: Secrets) -> None:
    import httpx

    place = f"http://127.0.0.1:{port}/api/work_pools/{POOL}/workers/filter"
    answer = httpx.post(place, json={}, auth=("ratchet", secrets.prefect), timeout=10)
    _expect(answer, 200, "about the workers")
    states = [worker["status"] for worker in answer.json() if worker["name"] == "local"]
    if states != ["ONLINE"]:
        raise StackError(f"the worker is not online yet: {states}")


def _expect(answer: object, status: int, when: str) -> None:
    found = getattr(answer, "status_code", None)
    if found != status:
        url = getattr(answer, "url", "")
        raise StackError(f"{url} answered {found} {when}, expected {status}")
