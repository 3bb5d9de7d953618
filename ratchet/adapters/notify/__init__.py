"""Who is told: a signed webhook, and whatever Apprise can reach.

>>> [target.name for target in open_notifiers(Notify(), settings())]   # doctest: +SKIP
['slack-1', 'mailtos-2']

Promise: names and errors hold no address of a target, because most of those are secrets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratchet.adapters.notify.apprise import AppriseTarget
from ratchet.adapters.notify.memory import KeptNotices
from ratchet.adapters.notify.webhook import Webhook

if TYPE_CHECKING:
    from ratchet.contracts.notice import Notify
    from ratchet.contracts.seams import Notifier
    from ratchet.settings import Settings

__all__ = ["AppriseTarget", "KeptNotices", "Webhook", "open_notifiers"]


def open_notifiers(wanted: Notify, where: Settings) -> list[Notifier]:
    """Every target, the webhook first. Nothing is asked of any of them yet."""
    found: list[Notifier] = []
    if wanted.webhook:
        secret = where.notify_secret
        found.append(Webhook(wanted.webhook, secret.get_secret_value() if secret else ""))
    urls = where.notify_urls.get_secret_value().split() if where.notify_urls else []
    return [*found, *(AppriseTarget(url, i + 1) for i, url in enumerate(urls))]
