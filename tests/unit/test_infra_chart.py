"""The chart as it is rendered; ``make check-infra`` renders it again and validates it with helm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

GOLDEN = Path(__file__).parents[1] / "golden" / "chart"
PARTS = ("prefect", "mlflow", "worker", "flow-run", "setup")
RENDERED = {
    name: [d for d in yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text()) if d]
    for name in ("default", "full")
}


def kinds(rendered: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    found = [d for d in rendered if d["kind"] == kind]
    return {d["metadata"]["name"].removeprefix("ratchet-"): d for d in found}


def from_secrets(container: dict[str, Any]) -> set[str]:
    return {v["name"] for v in container["env"] if "secretKeyRef" in v.get("valueFrom", {})}


def template(rendered: list[dict[str, Any]]) -> dict[str, Any]:
    found = kinds(rendered, "ConfigMap")["setup"]["data"]["base-job-template.json"]
    return dict(json.loads(found))


def pods(rendered: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The pod specification of every part, the flow runs' included."""
    found = {n: d["spec"]["template"]["spec"] for n, d in kinds(rendered, "Deployment").items()}
    found |= {n: d["spec"]["template"]["spec"] for n, d in kinds(rendered, "Job").items()}
    manifest = template(rendered)["job_configuration"]["job_manifest"]
    return {**found, "flow-run": manifest["spec"]["template"]["spec"]}


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


@pytest.fixture(params=["default", "full"])
def rendered(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return RENDERED[request.param]


def test_every_pod_meets_the_restricted_standard(rendered):
    found = pods(rendered)
    assert set(found) == set(PARTS)
    for name, pod in found.items():
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] == security["runAsGroup"] == 10001, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        for volume in pod["volumes"]:
            assert set(volume) - {"name"} <= {"emptyDir", "configMap", "secret"}, name
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert "memory" in container["resources"]["limits"], name
            assert "cpu" in container["resources"]["requests"], name


def test_only_the_worker_talks_to_the_cluster_and_may_do_little(rendered):
    for name, pod in pods(rendered).items():
        assert (pod.get("automountServiceAccountToken") is False) == (name != "worker"), name
    (role,) = kinds(rendered, "Role").values()
    allowed = {
        (resource, verb)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert {r for r, v in allowed if v not in ("get", "list", "watch")} == {"jobs"}
    assert {r for r, _ in allowed} == {"jobs", "pods", "pods/log", "pods/status", "events"}
    assert not any("*" in pair for pair in allowed)
    (binding,) = kinds(rendered, "RoleBinding").values()
    assert [s["name"] for s in binding["subjects"]] == ["ratchet-worker"]
    assert not any(d["kind"].startswith("Cluster") for d in rendered)


def test_56_secrets_are_named_and_never_written(rendered):
    assert not any(d["kind"] == "Secret" for d in rendered)
    sources = {"ratchet-prefect", "ratchet-mlflow", "ratchet-client", "ratchet-setup"}
    for name, pod in pods(rendered).items():
        for container in containers(pod):
            for variable in container["env"]:
                if variable["name"].startswith("PREFECT_INTEGRATIONS_"):
                    continue  # where a secret lies; looked at below
                secret = any(w in variable["name"] for w in ("PASSWORD", "SECRET_KEY", "STORE_URI"))
                secret |= variable["name"].endswith(("AUTH_STRING", "CONNECTION_URL"))
                assert ("valueFrom" in variable) or not secret, (name, variable)
                if "valueFrom" in variable:
                    assert variable["valueFrom"]["secretKeyRef"]["name"] in sources
    worker = {v["name"]: v.get("value") for v in pods(rendered)["worker"]["containers"][0]["env"]}
    prefix = "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET_"
    assert worker[f"{prefix}NAME"] == "ratchet-client"
    assert worker[f"{prefix}KEY"] == "PREFECT_API_AUTH_STRING"


def test_each_pod_gets_its_own_secrets_alone(rendered):
    given = {
        name: set().union(*(from_secrets(c) for c in containers(pod)))
        for name, pod in pods(rendered).items()
    }
    assert given["worker"] == {"PREFECT_API_AUTH_STRING"}
    assert given["flow-run"] == {
        "MLFLOW_TRACKING_PASSWORD",
        "RATCHET_S3_ACCESS_KEY",
        "RATCHET_S3_SECRET_KEY",
    }
    for secret, holder in {
        "MLFLOW_ADMIN_PASSWORD": "setup",
        "MLFLOW_BACKEND_STORE_URI": "mlflow",
        "PREFECT_API_DATABASE_CONNECTION_URL": "prefect",
    }.items():
        assert [n for n, names in given.items() if secret in names] == [holder]


def test_every_server_is_probed_and_survives_a_drained_node(rendered):
    deployments = kinds(rendered, "Deployment")
    assert (
        set(deployments)
        == {"prefect", "mlflow", "worker"}
        == set(kinds(rendered, "PodDisruptionBudget"))
    )
    for name, deployment in deployments.items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        ports = {p["name"] for p in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] in ports, (name, probe)
        budget = kinds(rendered, "PodDisruptionBudget")[name]["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["selector"] == deployment["spec"]["selector"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_network_policies_deny_first_and_name_every_way(rendered):
    policies = kinds(rendered, "NetworkPolicy")
    deny = policies.pop("deny")["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in deny
    assert {p["port"] for rule in deny["egress"] for p in rule["ports"]} == {53}
    assert set(policies) == set(PARTS)
    whose = {n: p["spec"]["podSelector"]["matchLabels"] for n, p in policies.items()}
    for name, labels in whose.items():
        assert deny["podSelector"]["matchLabels"].items() <= labels.items()
        assert labels["app.kubernetes.io/component"] == name
    assert {n for n, p in policies.items() if "ingress" in p["spec"]} == {"prefect", "mlflow"}
    ways = {
        name: {port["port"] for rule in p["spec"]["egress"] for port in rule.get("ports", [])}
        for name, p in policies.items()
    }
    assert ways == {
        "prefect": {5432},
        "mlflow": {5432, 443},
        "worker": {4200, 443, 6443},
        "flow-run": {4200, 5000, 443},
        "setup": {4200, 5000},
    }
    for name, policy in policies.items():  # the web pages are open to nobody by default
        for rule in policy["spec"].get("ingress", []):
            assert rule["from"], name


def test_services_are_inside_the_cluster_alone(rendered):
    services = kinds(rendered, "Service")
    assert set(services) == {"prefect", "mlflow"}
    assert all(s["spec"]["type"] == "ClusterIP" for s in services.values())
    assert not any(d["kind"] in ("Ingress", "Gateway") for d in rendered)


def test_an_image_is_named_by_its_digest_where_there_is_one():
    def images(name: str) -> set[str]:
        return {c["image"] for pod in pods(RENDERED[name]).values() for c in containers(pod)}

    assert images("default") == {"ratchet:0.1.0"}
    assert images("full") == {f"ratchet@sha256:{'0' * 64}"}


def test_a_deployment_cannot_choose_image_account_or_namespace(rendered):
    base = template(rendered)
    assert set(base["variables"]["properties"]) == {
        "name",
        "command",
        "labels",
        "annotations",
        "env",
    }
    assert base["job_configuration"]["namespace"] == "ml"


def test_the_job_of_a_flow_run_carries_no_password(rendered, monkeypatch):
    """What the worker would send to the cluster, made by the worker's own code."""
    found = job_of_a_run(template(rendered), monkeypatch)
    assert "not-for-the-manifest" not in json.dumps(found)
    (container,) = found["spec"]["template"]["spec"]["containers"]
    by_name = {v["name"]: v for v in container["env"]}
    assert by_name["PREFECT_API_AUTH_STRING"]["valueFrom"]["secretKeyRef"] == {
        "name": "ratchet-client",
        "key": "PREFECT_API_AUTH_STRING",
    }
    assert by_name["RATCHET_ROOT"]["value"] == "s3://tables"
    assert container["args"] == ["prefect", "flow-run", "execute"]
    labels = found["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "flow-run"  # or no policy lets it out
    assert found["spec"]["backoffLimit"] == 0
    assert found["metadata"]["namespace"] == "ml"


def job_of_a_run(base: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    import asyncio
    from uuid import uuid4

    from prefect.client.schemas.objects import FlowRun
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
    from prefect_kubernetes.worker import KubernetesWorker, KubernetesWorkerJobConfiguration

    async def make() -> dict[str, Any]:
        configuration = await KubernetesWorkerJobConfiguration.from_template_and_values(base, {})
        configuration.prepare_for_flow_run(FlowRun(name="what is due", flow_id=uuid4()))
        worker = KubernetesWorker("ratchet")
        await worker._replace_env_variable_with_secret(
            env_variable_name="PREFECT_API_AUTH_STRING",
            configuration=configuration,
            secret_name="ratchet-client",
            secret_key="PREFECT_API_AUTH_STRING",
        )
        return dict(configuration.job_manifest)

    changes = {
        PREFECT_API_AUTH_STRING: "ratchet:not-for-the-manifest",
        PREFECT_API_URL: "http://ratchet-prefect:4200/api",
    }
    with temporary_settings(changes):
        return asyncio.run(make())
