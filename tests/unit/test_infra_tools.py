"""Image, compose file, chart and Terraform before the tools that read them.

``make check-infra`` fetches the tools; where one is missing, its tests are skipped and say so.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.container import credentials
from infra.local.s3 import BUCKETS, RIGHTS

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
CHART = INFRA / "helm" / "ratchet"
GOLDEN = ROOT / "tests" / "golden" / "chart"
TERRAFORM = INFRA / "terraform"
KUBERNETES = ("1.30.0", "1.34.0")


def call(tool: str, *arguments: str, cwd: Path = ROOT, fails: bool = False) -> str:
    program = shutil.which(tool)
    if program is None:
        pytest.skip(f"{tool} is not on the PATH: make check-infra")
    environment = {**os.environ, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    environment.pop("TF_CLI_CONFIG_FILE", None)
    done = subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return done.stdout + (done.stderr if fails else "")


# --- image and compose ---------------------------------------------------------------------------


def test_hadolint_finds_nothing_in_the_dockerfile():
    assert call("hadolint", "infra/Dockerfile") == ""


def test_compose_reads_the_file_as_it_is_meant(tmp_path, monkeypatch):
    credentials.write(tmp_path)
    monkeypatch.setenv("RATCHET_CREDENTIALS", str(tmp_path))
    found = json.loads(
        call("docker-compose", "--file", "infra/compose.yaml", "config", "--format", "json")
    )
    written = yaml.safe_load((INFRA / "compose.yaml").read_text())
    assert set(found["services"]) == set(written["services"])
    for name, service in found["services"].items():
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name
        for secret in service["secrets"]:
            assert Path(found["secrets"][secret["source"]]["file"]).is_relative_to(tmp_path)
        assert not any("PASSWORD" in k for k in service.get("environment", {})) or (
            service["environment"]["POSTGRES_PASSWORD_FILE"] == "/run/secrets/postgres"
        )


# --- the chart -----------------------------------------------------------------------------------


def render(*more: str) -> list[dict[str, Any]]:
    text = call("helm", "template", "ratchet", str(CHART), "--namespace", "ml", *more)
    return [d for d in yaml.safe_load_all(text) if d]


@pytest.mark.parametrize(
    ("name", "more"),
    [("default", ()), ("full", ("--values", str(GOLDEN / "values.yaml")))],
)
def test_the_chart_renders_to_what_is_tested(name, more):
    expected = [d for d in yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text()) if d]
    assert render(*more) == expected


def test_helm_lint_is_content():
    assert "0 chart(s) failed" in call("helm", "lint", "--strict", str(CHART))


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("image.tag=latest", "'not' failed"),
        ("image.digest=sha256:abc", "does not match pattern"),
        ("s3.endpoint=http://s3.example.org", "does not match pattern"),
        ("prefect.replicas=2", "not allowed"),  # one scheduler
        ("worker.limit=0", "minimum"),
        ("secrets.client=", "does not match pattern"),
        ("flowRuns.memory=lots", "does not match pattern"),
        ("prefect.password=abc", "not allowed"),
    ],
)
def test_values_that_cannot_work_are_refused(setting, reason):
    said = call("helm", "template", str(CHART), "--set", setting, fails=True)
    assert reason in said


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", ["default", "full"])
def test_every_object_fits_the_schemas_of_kubernetes(name, version):
    path = str(GOLDEN / f"{name}.yaml")
    call("kubernetes-validate", "--strict", "--kubernetes-version", version, path)


# --- Terraform -----------------------------------------------------------------------------------

# What an action of the S3 server means to Amazon; deleting is part of its "Write".
READ = {"s3:GetObject"}
WRITE = {"s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}
MEANS = {
    "Read": READ,
    "Write": WRITE | {"s3:DeleteObject"},
    "List": {"s3:ListBucket"},
    "Tagging": {"s3:GetObjectTagging", "s3:PutObjectTagging", "s3:DeleteObjectTagging"},
}


def arn(bucket: str) -> str:
    return f"arn:aws:s3:::test-{bucket}"


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The documents that Terraform itself computes; the module needs no provider."""
    here = tmp_path_factory.mktemp("terraform")
    shutil.copytree(TERRAFORM / "policies", here / "policies")
    (here / "main.tf").write_text(
        'module "policies" {\n  source = "./policies"\n'
        f"  buckets = {json.dumps({b: arn(b) for b in BUCKETS})}\n}}\n"
        'output "found" {\n  value = module.policies\n}\n'
    )
    call("terraform", "init", "-input=false", cwd=here)
    call("terraform", "validate", cwd=here)
    call("terraform", "apply", "-auto-approve", "-input=false", cwd=here)
    found = json.loads(call("terraform", "output", "-json", "found", cwd=here))
    return {
        kind: {name: json.loads(text) for name, text in documents.items()}
        for kind, documents in found.items()
    }


def allowed(document: dict[str, Any]) -> set[tuple[str, str]]:
    """Pairs of action and bucket; objects and bucket are told apart by the action."""
    found = set()
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        assert "Condition" not in statement
        for resource in statement["Resource"]:
            bucket = next(b for b in BUCKETS if resource in (arn(b), f"{arn(b)}/*"))
            for action in statement["Action"]:
                assert (action == "s3:ListBucket") == (resource == arn(bucket))
                found.add((action, bucket))
    return found


def test_policies_grant_what_the_local_stack_grants(policies):
    assert set(policies["identities"]) == set(RIGHTS)
    for name, rights in RIGHTS.items():
        expected = {(action, bucket) for means, bucket in rights for action in MEANS[means]}
        if name == "sender":  # who delivers cannot take anything back; the S3 server cannot say so
            expected.remove(("s3:DeleteObject", "landing"))
        assert allowed(policies["identities"][name]) == expected, name


def test_every_bucket_denies_everybody_without_a_new_tls(policies):
    assert set(policies["buckets"]) == set(BUCKETS)
    for bucket, document in policies["buckets"].items():
        conditions = []
        for statement in document["Statement"]:
            assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
            assert statement["Action"] == "s3:*"
            assert statement["Resource"] == [arn(bucket), f"{arn(bucket)}/*"]
            conditions.append(statement["Condition"])
        assert {"Bool": {"aws:SecureTransport": "false"}} in conditions
        assert {"NumericLessThan": {"s3:TlsVersion": "1.2"}} in conditions


def test_terraform_files_are_in_its_own_format():
    assert call("terraform", "fmt", "-check", "-recursive", str(TERRAFORM)) == ""


def test_buckets_are_private_encrypted_versioned_and_locked_where_written_once():
    text = (TERRAFORM / "buckets.tf").read_text()
    assert f"toset({json.dumps(list(BUCKETS))})" in text
    blocks = dict(re.findall(r'^resource "(\w+)" "this" \{(.*?)^\}', text, re.S | re.M))
    everywhere = set(blocks) - {"aws_s3_bucket", "aws_s3_bucket_object_lock_configuration"}
    assert {f"aws_s3_bucket_{kind}" for kind in (
        "ownership_controls",
        "public_access_block",
        "server_side_encryption_configuration",
        "versioning",
        "lifecycle_configuration",
        "policy",
    )} == everywhere  # fmt: skip
    for kind in everywhere:
        assert re.search(r"for_each\s+= aws_s3_bucket\.this\n", blocks[kind]), kind
    assert blocks["aws_s3_bucket_public_access_block"].count("= true") == 4
    assert 'status = "Enabled"' in blocks["aws_s3_bucket_versioning"]
    assert "abort_incomplete_multipart_upload" in blocks["aws_s3_bucket_lifecycle_configuration"]
    assert "prevent_destroy = true" in blocks["aws_s3_bucket"]
    assert 'locked = toset(["landing", "artifacts"])' in text


def test_no_secret_is_in_terraform():
    for path in TERRAFORM.rglob("*.tf"):
        text = path.read_text()
        assert "aws_iam_access_key" not in text, path  # its secret would be in the state
        assert not re.search(r'(?i)(secret|password|token)\w*\s*=\s*"', text), path
