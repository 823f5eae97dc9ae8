"""Console of a run: short lines, while the log file keeps every line."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from mmengine.logging import MMLogger

PACKAGE = str(Path(__file__).parents[1])
QUIET = {"terse": False}
"""``extra`` of a record of ours that only the log file keeps."""
# Modules of mmengine and mmdet whose figures we show on our own.
_SHOWN_BY_US = ("logger_hook", "coco_metric")


class TerseFilter(logging.Filter):
    """Filter of a console: errors, lines of this package, and the tables of a test.

    Attributes:
        tables: True to show the tables of metrics, of this package and of others.
    """

    tables = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the console shows a record."""
        if record.levelno >= logging.ERROR:
            return True
        is_table = record.levelno == logging.INFO and "\n" in record.getMessage()
        if not record.pathname.startswith(PACKAGE):
            is_known = record.module in _SHOWN_BY_US
            return self.tables and record.levelno == logging.INFO and not is_known
        return getattr(record, "terse", True) and (self.tables or not is_table)


class TerseFormatter(logging.Formatter):
    """Formatter without time and name; the level stands before warnings and errors."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or lines, of a record."""
        text = super().format(record)
        is_info = record.levelno <= logging.INFO
        return text if is_info else f"{record.levelname.lower()}: {text}"


@contextmanager
def terse_loggers() -> Iterator[None]:
    """Give the loggers that exist and those built within a terse console.

    Warnings that Python code raises go to the log as well, from now on.
    """
    build = MMLogger.__init__

    def build_tersely(self: MMLogger, *args: Any, **options: Any) -> None:
        build(self, *args, **options)
        _make_terse(self)

    for logger in MMLogger._instance_dict.values():
        _make_terse(logger)
    with mock.patch.object(MMLogger, "__init__", build_tersely):
        yield
    warnings.showwarning = _log_warning


def _make_terse(logger: logging.Logger) -> None:
    for handler in logger.handlers:
        if type(handler) is logging.StreamHandler and terse_filter(logger) is None:
            handler.addFilter(TerseFilter())
            handler.setFormatter(TerseFormatter())


def terse_filter(logger: logging.Logger) -> TerseFilter | None:
    """Return the filter of a logger's console; None for a verbose one."""
    filters = (one for handler in logger.handlers for one in handler.filters)
    return next((one for one in filters if isinstance(one, TerseFilter)), None)


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    logger = MMLogger.get_current_instance()
    place = (filename, lineno, f"{filename}:{lineno}: {category.__name__}: {message}", (), None)
    logger.handle(logger.makeRecord(logger.name, logging.WARNING, *place))


def fitted(first: str, fields: Sequence[str], width: int | None = None) -> str:
    """Return a line of the first field and as many others as fit into the terminal's width."""
    width = width or shutil.get_terminal_size((80, 24)).columns
    line = first
    for field in fields:
        if len(line) + 3 + len(field) > width:
            break
        line += f"   {field}"
    return line


def duration(seconds: float) -> str:
    """Return a time for people: '40 s', '12 min', '5 h 58 min' or '2 d 3 h'."""
    minutes, hours, days = (round(seconds / unit) for unit in (60, 3600, 86400))
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h" if days < 100 else f"{days} d"
