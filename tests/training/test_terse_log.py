"""Console and log file: what each of them keeps, and lines that fit a terminal."""

import logging
import warnings

import pytest
from mmengine.logging import MMLogger, print_log

from mmproscale.training import terse_log
from mmproscale.training.terse_log import QUIET, duration, fitted, terse_filter, terse_loggers


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Return a function that builds a logger with a terse console and a log file."""
    monkeypatch.setattr(MMLogger, "_instance_dict", type(MMLogger._instance_dict)())

    def logger():
        with terse_loggers():
            return MMLogger.get_instance("run", log_file=str(tmp_path / "run.log"))

    with warnings.catch_warnings():  # which restores how warnings are shown
        warnings.simplefilter("always")
        yield logger


def of_ours(logger, level, message, **extra):
    """Log as a module of the package does."""
    record = logger.makeRecord("run", level, terse_log.__file__, 1, message, (), None, extra=extra)
    logger.handle(record)


def test_the_console_has_our_lines_and_every_error_and_the_file_all(build, tmp_path, capsys):
    logger = build()
    of_ours(logger, logging.INFO, "step 1")
    of_ours(logger, logging.INFO, "versions", **QUIET)
    of_ours(logger, logging.INFO, "a\ntable")
    of_ours(logger, logging.WARNING, "class weights differ")
    print_log("loads checkpoint", "current")
    print_log("FileClient will be deprecated", "current", logging.WARNING)
    print_log("cannot go on", "current", logging.ERROR)
    shown = capsys.readouterr().out.splitlines()
    assert shown == ["step 1", "warning: class weights differ", "error: cannot go on"]
    log = (tmp_path / "run.log").read_text()
    for text in ("step 1", "versions", "table", "loads checkpoint", "FileClient", "cannot go on"):
        assert text in log


def test_a_test_shows_tables_of_every_package(build, capsys):
    logger = build()
    terse_filter(logger).tables = True
    of_ours(logger, logging.INFO, "a\ntable")
    print_log("per class results:", "current")
    assert capsys.readouterr().out.splitlines() == ["a", "table", "per class results:"]


def test_warnings_of_python_code_go_to_the_log(build, tmp_path, capsys):
    build()
    warnings.warn("This DataLoader will create 8 worker processes", stacklevel=1)
    assert capsys.readouterr() == ("", "")
    assert "UserWarning: This DataLoader will create 8" in (tmp_path / "run.log").read_text()


def test_a_line_keeps_the_fields_that_fit():
    assert fitted("step 1", ["loss 2", "lr 3"], 20) == "step 1   loss 2"
    assert fitted("step 1", ["loss 2", "lr 3"], 22) == "step 1   loss 2   lr 3"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (89, "89 s"),
        (91, "2 min"),
        (3600, "60 min"),
        (21500, "5 h 58 min"),
        (172800, "2 d 0 h"),
        (1e9, "11574 d"),
    ],
)
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text
