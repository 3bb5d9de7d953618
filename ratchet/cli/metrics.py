"""``ratchet metrics``: how every pipeline does, for Prometheus."""

from __future__ import annotations

import click


@click.command()
@click.option("--once", is_flag=True, help="Print them and end; the default.")
@click.option("--serve", metavar="HOST:PORT", help="Answer HTTP there until interrupted.")
def metrics(once: bool, serve: str | None) -> None:
    """Print how every pipeline does as Prometheus text, or serve it. Reads tables, writes nothing.

    The numbers come from the tables, so whoever wrote them may be gone, and none is counted twice.
    """
    from ratchet.adapters.prometheus import as_text
    from ratchet.settings import settings
    from tasks.meters import Meters

    if once and serve:
        raise click.UsageError("--once prints, --serve answers: choose one")
    meters = Meters(settings())
    if serve is None:
        click.echo(as_text(meters.read()), nl=False)
        return
    _serve(meters, *_address(serve))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise click.UsageError(f"--serve {text!r}: expected HOST:PORT such as 127.0.0.1:9464")
    return host, int(port)


def _serve(meters: object, host: str, port: int) -> None:
    import signal

    from ratchet.adapters.prometheus import server

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        made = server(meters.read, host, port)  # type: ignore[attr-defined]
    except OSError as error:
        raise click.UsageError(f"--serve {host}:{port}: {error.strerror}") from None
    signal.signal(signal.SIGTERM, stop)
    click.echo(f"Metrics: http://{host}:{port}/metrics  (Ctrl-C ends it)")
    try:
        made.serve_forever()
    except KeyboardInterrupt:
        made.server_close()
