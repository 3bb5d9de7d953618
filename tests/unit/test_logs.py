"""Log lines: what each carries, in both forms, and what is never in them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from ratchet import logs
from ratchet.settings import Settings, settings

SECRET = "pl4nted/s3cret+value"
logger = logging.getLogger("ratchet.test")


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Settings by environment; Ratchet's logger is as it was afterwards."""
    root = logging.getLogger(logs.ROOT)
    before = root.handlers[:], root.level, root.propagate
    for name in ("RATCHET_LOG_LEVEL", "RATCHET_LOG_FORMAT", "RATCHET_NOTIFY_URLS"):
        monkeypatch.delenv(name, raising=False)
    settings.cache_clear()
    yield monkeypatch
    root.handlers[:], root.propagate = before[0], before[2]
    root.setLevel(before[1])
    settings.cache_clear()


def set_up(patch: pytest.MonkeyPatch, **environment: str) -> None:
    for name, value in environment.items():
        patch.setenv(f"RATCHET_{name}", value)
    settings.cache_clear()
    logs.set_up()


def test_a_line_of_json_says_when_who_and_about_what(chosen, capsys) -> None:
    set_up(chosen, LOG_FORMAT="json")
    with logs.about(pipeline="flights", window="2013-03-05", run_id="r-1", stage="gate"):
        logger.warning("two\nlines", extra={"facts": {"check": "gate.floor", "seconds": 0.5}})
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    moment = datetime.fromisoformat(found.pop("time"))
    assert moment.utcoffset().total_seconds() == 0
    assert found == {
        "check": "gate.floor",
        "seconds": 0.5,
        "level": "WARNING",
        "logger": "ratchet.test",
        "message": "two\nlines",
        "pipeline": "flights",
        "window": "2013-03-05",
        "run_id": "r-1",
        "stage": "gate",
    }


def test_an_exception_is_a_key_of_its_line_and_stands_below_a_line_of_text(chosen, capsys) -> None:
    for form in ("json", "text"):
        set_up(chosen, LOG_FORMAT=form, LOG_LEVEL="INFO")
        with logs.about(pipeline="flights", window="7", run_id="0123456789"):
            try:
                raise ValueError("of no use")
            except ValueError:
                logger.exception("it broke")
    first, text = capsys.readouterr().err.split("\n", 1)
    assert "ValueError: of no use" in json.loads(first)["exception"]
    head, _, below = text.partition("\n")
    assert head.endswith("ERROR   flights 7 01234567 ratchet.test: it broke")
    assert "Traceback" in below and "of no use" in below


def test_facts_cannot_forge_what_a_line_is_about(chosen, capsys) -> None:
    set_up(chosen, LOG_FORMAT="json")
    with logs.about(pipeline="flights"):
        logger.info("x", extra={"facts": {"pipeline": "other", "level": "DEBUG"}})
    found = json.loads(capsys.readouterr().err)
    assert (found["pipeline"], found["level"]) == ("flights", "INFO")


def test_blocks_nest_and_end(chosen) -> None:
    with logs.about(pipeline="flights", window="1"):
        with logs.about(window="2", stage="gate"):
            inner = logs.context()
        assert logs.context()["window"] == "1"
        assert logs.context()["stage"] == ""
    assert (inner["pipeline"], inner["window"], inner["stage"]) == ("flights", "2", "gate")
    assert logs.context()["pipeline"] == ""
    assert logs.context()["run_id"] == logs.context()["run_id"] != ""


@pytest.mark.parametrize(
    ("environment", "seen"),
    [
        ({}, []),
        ({"LOG_LEVEL": "ERROR"}, ["error"]),
        ({"LOG_FORMAT": "json"}, ["info", "error"]),
        ({"LOG_FORMAT": "json", "LOG_LEVEL": "ERROR"}, ["error"]),
        ({"LOG_LEVEL": "DEBUG"}, ["debug", "info", "error"]),
    ],
)
def test_which_lines_reach_the_terminal(chosen, capsys, environment, seen) -> None:
    set_up(chosen, **environment)
    logs.set_up()  # again: no line comes twice
    logger.debug("debug")
    logger.info("info")
    logger.error("error")
    said = capsys.readouterr().err
    assert [w for w in ("debug", "info", "error") for _ in range(said.count(f"{w}\n"))] == (
        seen if environment.get("LOG_FORMAT") != "json" else []
    )
    if environment.get("LOG_FORMAT") == "json":
        assert [json.loads(line)["message"] for line in said.splitlines()] == seen


@pytest.mark.parametrize("form", ["json", "text"])
def test_fault_56_no_line_tells_a_secret(chosen, capsys, form) -> None:
    set_up(
        chosen,
        LOG_FORMAT=form,
        LOG_LEVEL="DEBUG",
        S3_SECRET_KEY=SECRET,
        NOTIFY_URLS="slack://t0ken-one/t0ken-two json://127.0.0.1/p4th-of-a-hook",
    )
    with logs.about(window=f"w {SECRET}"):
        try:
            raise OSError(f"at https://ada:pa55word@host/x and {SECRET}")
        except OSError:
            logger.exception("%s", "pl4nted%2Fs3cret%2Bvalue", extra={"facts": {"key": SECRET}})
        logger.info("slack://t0ken-one/t0ken-two")
    said = capsys.readouterr().err
    for secret in (SECRET, "pl4nted", "pa55word", "t0ken-one"):
        assert secret not in said
    assert "https://***@host/x" in said


def test_secrets_may_lie_in_files(chosen, tmp_path: Path) -> None:
    (tmp_path / "RATCHET_NOTIFY_URLS").write_text("json://127.0.0.1/one\n")
    chosen.setenv("RATCHET_SECRETS_DIR", str(tmp_path))
    settings.cache_clear()
    found = settings().notify_urls
    assert found is not None and found.get_secret_value().split() == ["json://127.0.0.1/one"]
    assert "127.0.0.1" not in repr(settings())


def test_short_secrets_do_not_blacken_the_log() -> None:
    found = logs.secrets_of(Settings(s3_secret_key="a", record_password="long enough"))  # type: ignore[arg-type]
    assert set(found) == {"long%20enough", "long enough", "long+enough", "enough"}
    assert found[0] == "long%20enough"


def test_the_terminal_is_standard_error_as_it_is_now(chosen, capsys, monkeypatch) -> None:
    import io

    set_up(chosen, LOG_FORMAT="json")
    instead = io.StringIO()
    monkeypatch.setattr(sys, "stderr", instead)
    logger.info("here")
    assert json.loads(instead.getvalue())["message"] == "here"
