"""A POST of JSON, signed as the Standard Webhooks specification says.

>>> Webhook("https://ops.example/ratchet", "whsec_...").send(notice, 10)   # doctest: +SKIP

The headers ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature`` let the receiver check
with any library of that specification who wrote, refuse an old copy, and see a repetition.

Source: https://www.standardwebhooks.com (version 1 signatures, HMAC-SHA256).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time

from ratchet.contracts.notice import Notice
from ratchet.errors import NotifyError

PREFIX = "whsec_"
FEWEST_BYTES = 24  # of a key, as the specification asks for
TRIES = 3
PAUSE = 0.5  # seconds; doubles
AGAIN = (408, 425, 429, 500, 502, 503, 504)


class Webhook:
    """:class:`~ratchet.contracts.seams.Notifier` by HTTP.

    Args:
        url: where to post; no redirect is followed.
        secret: ``whsec_`` and base64 of at least 24 bytes.
    """

    name = "webhook"

    def __init__(self, url: str, secret: str) -> None:
        self._url, self._secret = url, secret

    def __repr__(self) -> str:
        return "Webhook(...)"

    def send(self, notice: Notice, seconds: float) -> None:
        """Post it; what may pass is tried :data:`TRIES` times within ``seconds``."""
        import httpx

        deadline = time.monotonic() + seconds
        body = json.dumps({"type": f"ratchet.{notice.event}", "data": notice.as_json()}).encode()
        said = "no time left"
        for attempt in range(TRIES):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                headers = signed(self._secret, notice.id, int(time.time()), body)
                with httpx.stream(
                    "POST", self._url, content=body, headers=headers, timeout=left
                ) as answer:
                    status = answer.status_code
            except httpx.HTTPError as error:
                said = type(error).__name__  # its text may hold the address
            else:
                if status < 300:
                    return
                said = f"answered {status}"
                if status not in AGAIN:
                    break
            time.sleep(max(0.0, min(PAUSE * 2**attempt, deadline - time.monotonic())))
        raise NotifyError(f"webhook: {said}; expected 2xx. See [notify] webhook of the pipeline")


def signed(secret: str, message: str, now: int, body: bytes) -> dict[str, str]:
    """The headers of a message.

    Raises:
        NotifyError: the secret is not of the form that the specification asks for.
    """
    signature = hmac.new(_key(secret), f"{message}.{now}.".encode() + body, hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": str(now),
        "webhook-signature": "v1," + base64.b64encode(signature.digest()).decode(),
    }


def _key(secret: str) -> bytes:
    try:
        if not secret.startswith(PREFIX):
            raise ValueError
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) < FEWEST_BYTES:
        raise NotifyError(
            f"webhook: RATCHET_NOTIFY_SECRET: expected '{PREFIX}' and base64 of at least "
            f"{FEWEST_BYTES} bytes; nothing is sent unsigned"
        )
    return key
