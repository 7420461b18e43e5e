"""No log line tells a secret, nor gives an order to a terminal or a CI system, whoever writes it."""

import io
import logging

import httpx
import pytest

from tests.hostile import answering, serving
from tests.hostile_text import UNSEEN, VALUES

SECRET = "hush4711hush"


@pytest.fixture
def log(monkeypatch):
    """What any logger writes, as a stranger's handler formats it."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [handler])
    # Where Prefect has set up its logging, its loggers have levels and handlers of their own.
    loggers = [root, *(logging.getLogger(f"prefect{name}") for name in ("", ".flow_runs", ".task_runs"))]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        if logger is not root:
            monkeypatch.setattr(logger, "handlers", [])
            monkeypatch.setattr(logger, "propagate", True)
    yield out
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.parametrize(
    ("said", "args"),
    [
        (f"asking http://u:{SECRET}@a.test/b", ()),
        ("asking %s", (f"http://u:{SECRET}@a.test/b",)),
        ("asking %s", (f"http://a.test/b?token={SECRET}#x",)),
        ("asking %(url)s", ({"url": f"http://u:{SECRET}@a.test/b"},)),
        ("password=%s", (SECRET,)),
        ("%s: %s", ("Set-Cookie", SECRET)),
        ("dsn %s", (f"postgresql+asyncpg://u:{SECRET}@a.test/b",)),
        ("Authorization: Bearer %s", (SECRET,)),
    ],
)
@pytest.mark.parametrize("name", ["roundsman", "prefect.flow_runs", "sqlalchemy.engine", "any.other"])
def test_no_log_line_tells_a_secret(said, args, name, log):
    logging.getLogger(name).error(said, *args)
    assert log.getvalue().startswith(name)
    assert SECRET not in log.getvalue()


def broken_down():
    try:
        int(f"http://u:{SECRET}@a.test/")
    except ValueError as inner:
        raise RuntimeError(f"Cookie: a={SECRET}") from inner


def test_no_traceback_tells_a_secret(log):
    try:
        broken_down()
    except RuntimeError:
        logging.getLogger("prefect.task_runs").exception("Task run failed")
    assert "Traceback" in log.getvalue()
    assert "RuntimeError: Cookie: ..." in log.getvalue()
    assert SECRET not in log.getvalue()


def test_a_client_tells_of_no_password_and_no_path(log):
    with serving(answering()) as server:
        httpx.get(f"http://u:{SECRET}@{server.address}/hooks/{SECRET}?key={SECRET}", trust_env=False)
    assert "HTTP Request: GET http://" in log.getvalue()
    assert SECRET not in log.getvalue()


def test_an_address_of_our_own_stays(log):
    logging.getLogger("prefect").warning("View it at %s", "http://127.0.0.1:4200/runs/flow-run/1")
    assert "prefect View it at http://127.0.0.1:4200/runs/flow-run/1\n" == log.getvalue()


@VALUES
def test_no_log_line_is_an_order(value, log):
    logging.getLogger("roundsman").warning("saw %s", value)
    said = log.getvalue()
    assert not UNSEEN.search(said.replace("\n", "").replace("\t", ""))
    assert "::error" not in said


def test_wrong_arguments_are_reported_by_whoever_handles_the_record():
    record = logging.getLogRecordFactory()("roundsman", 30, "", 1, "%s %s", ("one",), None)
    with pytest.raises(TypeError, match="not enough arguments"):
        record.getMessage()


def test_an_access_log_keeps_its_arguments(log):
    from uvicorn.logging import AccessFormatter

    log_line = ("127.0.0.1:1", "GET", f"/sites/shop?token={SECRET}", "1.1", 200)
    record = logging.getLogRecordFactory()("uvicorn.access", 20, "", 1, '%s - "%s %s HTTP/%s" %d', log_line, None)
    said = AccessFormatter("%(client_addr)s %(request_line)s %(status_code)s", use_colors=False).format(record)
    assert "GET /sites/shop?token=... HTTP/1.1" in said
