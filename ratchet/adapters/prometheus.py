"""Readings as Prometheus or OpenMetrics text, once or over HTTP (prometheus-client).

>>> print(as_text({"ratchet_up": {("flights",): 1.0}}))                # doctest: +SKIP
# HELP ratchet_up 1 when the pipeline's tables could be read for this answer.
# TYPE ratchet_up gauge
ratchet_up{pipeline="flights"} 1.0

Promise: read-only, no state between answers. A server on loopback refuses a foreign Host header, so
that no web page can read it through a visitor's browser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIServer

from ratchet.contracts.readings import BUCKETS, FAMILIES, Family, Readings, Spread

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
Read = Callable[[], Readings]


class Collector:
    """What prometheus-client asks for metrics; asks ``read`` each time."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Every family that has a reading, in the order of ``FAMILIES``."""
        readings = self._read()
        for family in FAMILIES:
            if values := readings.get(family.name):
                yield _metric(family, values)

    def describe(self) -> list[Metric]:
        """Nothing, so that being registered reads no table."""
        return []


def registry(read: Read) -> CollectorRegistry:
    """A registry with these readings alone: none of the process itself."""
    from prometheus_client import CollectorRegistry

    made = CollectorRegistry()
    made.register(Collector(read))
    return made


def as_text(readings: Readings) -> str:
    """The readings as Prometheus text."""
    from prometheus_client import generate_latest

    return generate_latest(registry(lambda: readings)).decode()


def server(read: Read, host: str, port: int) -> WSGIServer:
    """A server that answers every GET with the readings; call ``serve_forever`` on it.

    Raises:
        OSError: the port is taken.
    """
    from wsgiref.simple_server import make_server

    from prometheus_client import make_wsgi_app
    from prometheus_client.exposition import ThreadingWSGIServer, _SilentHandler

    answer = make_wsgi_app(registry(read))
    local = host in LOOPBACK

    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        named = str(environ.get("HTTP_HOST", "")).rpartition(":")[0] or environ.get("HTTP_HOST", "")
        if local and named not in LOOPBACK:
            start("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"foreign Host header\n"]
        found: Iterable[bytes] = answer(environ, start)
        return found

    return make_server(host, port, app, ThreadingWSGIServer, handler_class=_SilentHandler)


def _metric(family: Family, values: dict[tuple[str, ...], float | Spread]) -> Metric:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.about, labels=family.labels)
        for labels, value in values.items():
            if isinstance(value, Spread):
                edges = ["+Inf" if edge == float("inf") else str(edge) for edge in BUCKETS]
                pairs = list(zip(edges, accumulate(value.counts), strict=True))
                histogram.add_metric(list(labels), pairs, value.total)
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.about, labels=family.labels)
    for labels, value in values.items():
        if not isinstance(value, Spread):
            metric.add_metric(list(labels), value)
    return metric
