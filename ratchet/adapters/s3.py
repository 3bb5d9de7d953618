"""S3 as Ratchet uses it: one way to make a client, one form of an address, one kind of error.

>>> split("s3://bucket/ratchet/flights")
('bucket', 'ratchet/flights')

Promise: no credential ever appears in a message that leaves this module, nothing is sent over plain
HTTP except to this machine, and no wait is endless: a request is tried :data:`ATTEMPTS` times with
back-off, and a body that trickles is given up.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
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
CONNECT_SECONDS = 5
READ_SECONDS = 20  # without a byte; a body may take that long, and more by its size
SLOWEST = 65_536  # bytes a second that a body must arrive at
ATTEMPTS = 4  # of one request; back-off with jitter in between: at most 1, 2 and 4 s
BODIES = 3  # times that one body is asked for, when it breaks off
REST = 0.25  # seconds before a body is asked for again; doubles
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
    """A boto3 client: short time-outs, few attempts, keys from the settings or boto3's chain.

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
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            s3={"addressing_style": "path" if settings.s3_endpoint else "auto"},
        ),
    )


def fetch(client: Any, **request: Any) -> tuple[dict[str, Any], bytes]:
    """One GET: the answer's head, and its whole body, asked for again when it breaks off.

    Raises:
        ClientError, BotoCoreError: boto3's own, after its attempts.
        OSError, HTTPError: the body broke off or trickled each time.
    """
    from urllib3.exceptions import HTTPError

    failure: Exception
    for again in range(BODIES):
        answer = client.get_object(**request)
        try:
            return answer, whole(answer)
        except (HTTPError, OSError) as error:  # botocore retries requests, not bodies
            failure = error
        time.sleep(REST * 2**again)
    raise failure


def whole(answer: dict[str, Any]) -> bytes:
    """The body of a GET: all of it, or an error.

    A read time-out sees a pause, not a trickle that never ends, so the whole body has its time too.

    Raises:
        TimeoutError: it came slower than :data:`SLOWEST`.
        HTTPError: it broke off.
    """
    size = int(answer["ContentLength"])
    limit = READ_SECONDS + size / SLOWEST
    with answer["Body"] as body:  # urllib3's response
        late = threading.Event()

        def give_up() -> None:
            late.set()
            with contextlib.suppress(Exception):  # it was read to its end just now
                body.shutdown()

        timer = threading.Timer(limit, give_up)
        timer.daemon = True
        timer.start()
        try:
            return bytes(body.read())
        except Exception:
            if late.is_set():
                raise TimeoutError(f"{size:,} bytes did not arrive within {limit:.0f} s") from None
            raise
        finally:
            timer.cancel()


def advice(error: BaseException | str, otherwise: str) -> str:
    """What to do about an error of the store, in a sentence; ``otherwise`` where it is unknown."""
    text = f"{type(error).__name__} {error}"
    return next((said for pattern, said in _ADVICE if re.search(pattern, text, re.I)), otherwise)


_ADVICE = (
    (
        r"RequestTimeTooSkewed|RequestExpired",
        "The clocks of this machine and of the S3 server differ: set this one, then run again",
    ),
    (
        r"SignatureDoesNotMatch|InvalidAccessKeyId|InvalidToken|ExpiredToken|NoCredentials",
        "Correct RATCHET_S3_ACCESS_KEY and RATCHET_S3_SECRET_KEY, then run again",
    ),
    (r"NoSuchBucket", "Make the bucket, or correct its name, then run again"),
    (
        r"AccessDenied|Forbidden|lacked the necessary privileges",
        "Check that the keys may read and write there, then run again",
    ),
    (
        r"SlowDown|ServiceUnavailable|InternalError|Throttl|status code 5\d\d|\(50\d\)",
        "The S3 server is overloaded or failing. Nothing is lost: run again later",
    ),
    (
        r"connect|timed? ?out|dns|reset|broken|did not arrive|response body",
        "Check that the S3 server is up, then run again",
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
    # Delta's object store puts a long address before what happened.
    text = re.sub(r"Error performing (list request )?(?=Error performing)", "", text)
    text = re.sub(r"(Error performing [A-Z]+) \S+ in [\d.]+\S*", r"\1", text)
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
            f"{where}: the S3 server refused a small test object: {clean(error)}. "
            + advice(error, "Check the endpoint, the bucket and that the keys may write there")
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
