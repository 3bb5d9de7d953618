"""Addresses, endpoints and messages of S3."""

from __future__ import annotations

import pytest

from ratchet.adapters import s3
from ratchet.errors import DefinitionError, NoConditionalWrites
from ratchet.settings import Settings


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("s3://bucket", ("bucket", "")),
        ("s3://bucket/", ("bucket", "")),
        ("s3://my-bucket.eu/a/b/", ("my-bucket.eu", "a/b")),
    ],
)
def test_an_address_is_split(address: str, expected: tuple[str, str]) -> None:
    assert s3.split(address) == expected


@pytest.mark.parametrize(
    "address", ["bucket", "s3://", "s3://B/x", "s3:/b/x", "s3://a/x", "S3://bb"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(DefinitionError, match="expected s3://bucket/prefix"):
        s3.split(address)


@pytest.mark.parametrize(
    ("endpoint", "near"),
    [
        ("http://127.0.0.1:8333", True),
        ("http://localhost", True),
        ("http://[::1]:1", True),
        ("http://127.0.0.1.example.test", False),
        ("http://user@example.test", False),
        ("", False),
    ],
)
def test_what_is_on_this_machine(endpoint: str, near: bool) -> None:
    assert s3.is_loopback(endpoint) is near


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"s3_endpoint": "http://example.test"}, "expected https://"),
        ({"s3_endpoint": "example.test:80"}, "expected https://"),
        ({"s3_access_key": "a"}, "go together"),
        ({"s3_secret_key": "a" * 20}, "go together"),
    ],
)
def test_unsafe_settings_are_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        s3.client(Settings(**values))


def test_safe_settings_give_a_client() -> None:
    client = s3.client(Settings(s3_endpoint="https://example.test", s3_region="eu-west-1"))
    assert client.meta.endpoint_url == "https://example.test"
    assert client.meta.region_name == "eu-west-1"


def test_a_message_is_one_clean_line() -> None:
    raw = "Generic\x1b[31m↳\x1b[0m error\n   of key TOPSECRET99\n   0: <unknown>\n   1: start"
    assert s3.clean(raw, ("TOPSECRET99",)) == "Generic error of key ***"
    assert len(s3.clean("-" * 5000)) == 400
    assert s3.clean(ValueError()) == "ValueError"
    assert s3.clean("denied: Credential=AKIAXYZ/2013, Signature=abc") == (
        "denied: Credential=***, Signature=***"
    )


def test_a_store_that_ignores_if_match_is_refused() -> None:
    class Refusal(Exception):
        response = {"Error": {"Code": "PreconditionFailed"}}  # noqa: RUF012

    class HalfHearted:
        """It honours If-None-Match, and lets anybody replace an object."""

        seen: set[str] = set()  # noqa: RUF012

        def put_object(self, **request: str) -> None:
            if "IfNoneMatch" in request and request["Key"] in self.seen:
                raise Refusal
            self.seen.add(request["Key"])

    with pytest.raises(NoConditionalWrites, match="ignored If-Match and overwrote"):
        s3.probe_conditional_writes(HalfHearted(), "bucket", "prefix")
