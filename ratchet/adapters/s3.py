"""S3 as Ratchet uses it: one way to make a client, one form of an address, one kind of error.

>>> split("s3://bucket/ratchet/flights")
('bucket', 'ratchet/flights')

Promise: no credential ever appears in a message that leaves this module, and nothing is sent over
plain HTTP except to this machine.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ratchet.errors import DefinitionError, NoConditionalWrites, StorageError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from ratchet.settings import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")
REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
ABSENT = ("NoSuchKey", "NotFound", "404")
_LONGEST = 400
_secrets: set[str] = set()  # of the clients made by this process; never shown


def split(address: str) -> tuple[str, str]:
    """Bucket and prefix (without slashes around it) of ``s3://bucket/prefix``.

    Raises:
        DefinitionError: not of that form.
    """
    found = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", address)
    if not found:
        raise DefinitionError(f"address {address!r}: expected s3://bucket/prefix")
    return found[1], (found[2] or "").strip("/")


def is_loopback(endpoint: str) -> bool:
    """Whether this endpoint is on this machine."""
    return urlsplit(endpoint).hostname in LOOPBACK


def check_endpoint(settings: Settings) -> None:
    """Refuse an endpoint that would carry rows and signatures in the clear over a network.

    Raises:
        DefinitionError: plain HTTP to another machine, or half a pair of keys.
    """
    endpoint = settings.s3_endpoint
    if endpoint and not endpoint.startswith("https://") and not is_loopback(endpoint):
        raise DefinitionError(
            f"RATCHET_S3_ENDPOINT={endpoint!r}: expected https:// (plain http:// is allowed to "
            "this machine only); put TLS in front of the S3 server"
        )
    if (settings.s3_access_key is None) != (settings.s3_secret_key is None):
        raise DefinitionError(
            "RATCHET_S3_ACCESS_KEY and RATCHET_S3_SECRET_KEY go together: set both or neither"
        )


def client(settings: Settings) -> S3Client:
    """A boto3 client: short time-outs, three attempts, keys from the settings or boto3's chain.

    Raises:
        DefinitionError: the endpoint or the keys cannot be used.
    """
    import boto3
    from botocore.config import Config

    check_endpoint(settings)
    secret = settings.s3_secret_key
    if secret:
        _secrets.add(secret.get_secret_value())
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=Config(
            connect_timeout=5,
            read_timeout=30,
            retries={"total_max_attempts": 3, "mode": "standard"},
            s3={"addressing_style": "path" if settings.s3_endpoint else "auto"},
        ),
    )


def code(error: Exception) -> str:
    """The store's error code, such as ``PreconditionFailed``; empty for other exceptions."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def clean(error: BaseException | str, secrets: tuple[str, ...] = ()) -> str:
    """The message of an error on one line: no backtrace, no colours, no secret, 400 characters.

    Secrets are those given and those that any client of this process was made with.
    """
    text = str(error) or type(error).__name__
    text = re.split(r"\n\s+0: ", text)[0]  # a native backtrace starts here
    text = re.sub(r"\x1b\[[0-9;]*m|↳", "", text)
    for secret in filter(None, {*secrets, *_secrets}):
        text = text.replace(secret, "***")
    # What an S3 server may echo of a request: whose it was and how it was signed.
    text = re.sub(
        r"(?i)(credential=|signature=|AWSAccessKeyId>|X-Amz-[A-Za-z-]+=)[^\s,&<]+", r"\1***", text
    )
    return re.sub(r"\s+", " ", text).strip()[:_LONGEST]


def probe_conditional_writes(client: Any, bucket: str, prefix: str) -> None:
    """Prove that of two writers who create one object, the store refuses the second.

    Without that, two commits can overwrite one another without a word. The probe also tries to
    replace the object under a wrong ETag, as a lease does when it is taken over.

    Raises:
        NoConditionalWrites: a write that had to be refused was done, or the condition is unknown.
        StorageError: the store cannot be reached or denies access.
    """
    key = f"{prefix}/_probe/{uuid.uuid4().hex}".lstrip("/")
    where = f"s3://{bucket}/{prefix}"
    try:
        client.put_object(Bucket=bucket, Key=key, Body=b"first", IfNoneMatch="*")
        _must_refuse(client, where, Bucket=bucket, Key=key, Body=b"second", IfNoneMatch="*")
        wrong = '"' + "0" * 32 + '"'
        _must_refuse(client, where, Bucket=bucket, Key=key, Body=b"third", IfMatch=wrong)
        client.delete_object(Bucket=bucket, Key=key)
    except StorageError:
        raise
    except Exception as error:
        if code(error) == "NotImplemented":
            raise _unsafe(where, "does not know conditional writes") from None
        raise StorageError(
            f"{where}: the S3 server refused a small test object: {clean(error)}. Check the "
            "endpoint, that the bucket exists, and that the keys may write there"
        ) from None


def _must_refuse(client: Any, where: str, **request: Any) -> None:
    condition = "If-None-Match" if "IfNoneMatch" in request else "If-Match"
    try:
        client.put_object(**request)
    except Exception as error:
        if code(error) in REFUSED:
            return
        raise
    raise _unsafe(where, f"ignored {condition} and overwrote an object")


def _unsafe(where: str, what: str) -> NoConditionalWrites:
    return NoConditionalWrites(
        f"{where}: this S3 server {what}, so two runs could lose each other's commits without a "
        "word. Use a server with conditional writes (Amazon S3, SeaweedFS 4, MinIO) or a local root"
    )
