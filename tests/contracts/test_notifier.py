"""What every target promises, over a real HTTP server; what each does besides."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from ratchet.adapters.notify import AppriseTarget, KeptNotices, Webhook, open_notifiers
from ratchet.adapters.notify.webhook import signed
from ratchet.contracts.notice import Notice, Notify, of_failure
from ratchet.contracts.seams import Notifier
from ratchet.errors import NotifyError
from ratchet.settings import Settings
from tests.hooks import Hook, hook

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
NOW = datetime(2026, 1, 5, 6, tzinfo=UTC)
NOTICE = of_failure("flights", "2013-03-05", "StorageError: disk full", "", NOW)


@pytest.fixture
def server() -> Iterator[Hook]:
    with hook() as found:
        yield found


@pytest.fixture(params=["kept", "webhook", "apprise"])
def target(request: pytest.FixtureRequest, server: Hook) -> Notifier:
    if request.param == "kept":
        return KeptNotices()
    if request.param == "webhook":
        return Webhook(server.url, SECRET)
    return AppriseTarget(server.url.replace("http", "json"), 1)


def break_it(target: Notifier, server: Hook) -> None:
    if isinstance(target, KeptNotices):
        target.broken = "out of order"
    server.answers[:] = [500] * 9


def test_a_message_arrives_whole(target: Notifier, server: Hook) -> None:
    target.send(NOTICE, 10)
    said = str(target.notices if isinstance(target, KeptNotices) else server.bodies)
    for part in ("flights", "2013-03-05", "disk full", "failed"):
        assert part in said


def test_what_does_not_arrive_is_an_error_that_names_no_address(
    target: Notifier, server: Hook
) -> None:
    break_it(target, server)
    with pytest.raises(NotifyError) as caught:
        target.send(NOTICE, 10)
    for text in (str(caught.value), target.name, repr(target)):
        assert str(server.port) not in text and "/hook" not in text
    assert caught.value.__cause__ is None or "hook" not in str(caught.value.__cause__)


def test_a_webhook_is_signed_so_that_only_its_reader_can_check(server: Hook) -> None:
    Webhook(server.url, SECRET).send(NOTICE, 10)
    headers, body = server.came[0]
    message, stamp = headers["webhook-id"], headers["webhook-timestamp"]
    assert message == NOTICE.id
    assert abs(int(stamp) - time.time()) < 60
    content = f"{message}.{stamp}.".encode() + body
    wanted = base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert server.bodies[0] == {"type": "ratchet.failed", "data": NOTICE.as_json()}
    assert SECRET not in str(server.came)


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of standardwebhooks.com's own libraries."""
    headers = signed(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "plain", "whsec_", "whsec_%%%", "whsec_c2hvcnQ="])
def test_57_nothing_is_sent_unsigned(server: Hook, secret: str) -> None:
    with pytest.raises(NotifyError, match="nothing is sent unsigned") as caught:
        Webhook(server.url, secret).send(NOTICE, 10)
    assert server.came == []
    assert not secret or secret == "whsec_" or secret not in str(caught.value)


def test_a_webhook_tries_what_may_pass_again_and_only_that(server: Hook) -> None:
    server.answers[:] = [503, 429]
    Webhook(server.url, SECRET).send(NOTICE, 10)
    assert len(server.came) == 3
    assert len({headers["webhook-id"] for headers, _ in server.came}) == 1
    for status in (400, 403, 302):
        server.came.clear()
        server.answers[:] = [status]
        with pytest.raises(NotifyError, match=f"answered {status}"):
            Webhook(server.url, SECRET).send(NOTICE, 10)
        assert len(server.came) == 1


def test_a_webhook_keeps_to_its_time(server: Hook) -> None:
    server.delay = 5.0
    started = time.monotonic()
    with pytest.raises(NotifyError, match="ReadTimeout"):
        Webhook(server.url, SECRET).send(NOTICE, 0.5)
    assert time.monotonic() - started < 4


def test_apprise_refuses_an_address_it_does_not_know_without_saying_it() -> None:
    for url in ("t0ken", "nosuchscheme://t0ken/x"):
        with pytest.raises(NotifyError, match="address 2 of RATCHET_NOTIFY_URLS") as caught:
            AppriseTarget(url, 2).send(NOTICE, 5)
        assert "t0ken" not in str(caught.value)


def test_fault_56_apprise_logs_no_address(
    server: Hook, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    server.answers[:] = [500]
    target = AppriseTarget(f"json://ada:pl4nted@127.0.0.1:{server.port}/pl4nted", 1)
    with pytest.raises(NotifyError):
        target.send(NOTICE, 10)
    said = capfd.readouterr()
    assert server.came
    assert "pl4nted" not in caplog.text + said.out + said.err + repr(target)


def test_targets_are_the_webhook_and_each_address() -> None:
    where = Settings(notify_urls="slack://a/b/c  mailtos://u:p@example.com")  # type: ignore[arg-type]
    found = open_notifiers(Notify(webhook="https://ops.example/x"), where)
    assert [t.name for t in found] == ["webhook", "slack-1", "mailtos-2"]
    assert open_notifiers(Notify(), Settings()) == []
    assert isinstance(NOTICE, Notice)
