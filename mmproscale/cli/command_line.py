"""Parts that the command lines share: error lines, options, and processes that torchrun starts."""

from __future__ import annotations

import argparse
import functools
import logging
import os
import platform
import re
import sys
import traceback
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path
from signal import SIGPIPE
from typing import Any, TypeVar

from mmengine.config import DictAction

from mmproscale.cli.foreign_errors import describe_foreign
from mmproscale.compat import describe_stack
from mmproscale.errors import InputError
from mmproscale.utils.command_names import command
from mmproscale.utils.config import TOOLS
from mmproscale.utils.processes import (
    LAUNCHED,
    LOST,
    leave_processes,
    lost_process,
    reports_first,
)
from mmproscale.utils.stop_signals import Stopped, arrived, leave_at_once, stoppable
from mmproscale.version import __version__

DATA_KINDS = ("panoptic", "instance", "semantic", "boxes")  # as own_data/layouts.py, without torch
ANY_CONFIG = "config file, or name of a config of mmproscale or of a package: mmdet::detr/NAME.py"
TRACEBACK = "MMPROSCALE_TRACEBACK"
"""Variable of the environment that adds the traceback to every error."""
_BUILDING = re.compile(r"class `\w+` in \S+\.py: ")
_Error = TypeVar("_Error", bound=BaseException)
_QUALIFIED = f"{InputError.__module__}.{InputError.__qualname__}"


def command_line(main: Callable[[], None]) -> Callable[[], None]:
    """Make a tool's ``main`` end early with one line on stderr and an exit status.

    An error that a user can mend prints ``error: MESSAGE`` and has status 2. SIGTERM and Ctrl-C
    have status 143 and 130. If another process of the run was lost, the status is ``LOST``, and
    tools/launch.py says which one it was. Only one of several processes prints the line. A bug
    prints its traceback, and a last line that says how to report it.
    """

    @functools.wraps(main)
    def wrapped() -> None:
        status = 0
        logging.raiseExceptions = False  # a log that can't be written prints no tracebacks
        with stoppable():
            try:
                main()
                sys.stdout.flush()
            except BrokenPipeError:  # e.g. of `| head`; nobody reads on
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                status = 128 + SIGPIPE
            except (Exception, Stopped) as error:
                line, status = _line_and_status(error)
                if line is None:
                    _report_after_traceback()
                    raise
                arrived()
                if TRACEBACK in os.environ:
                    traceback.print_exception(error)
                if status != LOST or LAUNCHED not in os.environ:
                    _say(line)
        if status:
            sys.exit(status)
        leave_processes()

    return wrapped


def _line_and_status(error: BaseException) -> tuple[str | None, int]:
    """Return the line and the exit status of an error; no line for a bug."""
    if isinstance(error, Stopped):
        return str(error), error.status
    if (message := _input_error(error)) is not None:
        return f"error: {message}", 2
    if (stop := _cause(error, Stopped)) is not None:  # mmengine makes other errors of any exception
        return str(stop), stop.status
    if (connection := lost_process(error)) is not None:
        return f"error: another process of this run was lost ({connection})", LOST
    if (message := describe_foreign(error)) is not None:
        return f"error: {message}", 2
    return None, 1


def _cause(error: BaseException | None, kind: type[_Error]) -> _Error | None:
    """Return the last error of a kind among ``error`` and its causes, if there is one."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


def _report_after_traceback() -> None:
    """Have the interpreter add a line to the traceback that it is about to print."""
    show = sys.excepthook

    def show_and_say(*error: Any) -> None:
        show(*error)
        versions = f"{describe_stack()}; Python {platform.python_version()}"
        _say(
            f"error: mmproscale {__version__} ({versions}) has a bug, unless your own code has: "
            "please report these lines, the command and the output of "
            f"`{command('doctor')} --json` in the issue tracker of its repository"
        )

    sys.excepthook = show_and_say


def _say(line: str) -> None:
    """Print one line on stderr for all processes."""
    if reports_first():
        print(line, file=sys.stderr)


def _input_error(error: BaseException) -> str | None:
    """Return the message of the last InputError among ``error`` and its causes, if there is one.

    From a data loader's worker, the message is the worker's whole traceback, and its last line
    counts. The prefix that mmengine adds to errors of constructors is left out.
    """
    if (found := _cause(error, InputError)) is None:
        return None
    message = str(found).strip().splitlines()[-1].rpartition(f"{_QUALIFIED}: ")[2]
    return _BUILDING.sub("", message)


def make_parser(description: str | None) -> ArgumentParser:
    """Make a parser that prints the description as it is and takes whole option names only."""
    return ArgumentParser(
        description=description,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


class MixedParser(ArgumentParser):
    """Parser whose options may stand between positional arguments, also if one is optional."""

    _is_inside = False

    def parse_known_args(self, args=None, namespace=None):
        """Parse options first and then the positional arguments, all at once."""
        if self._is_inside:  # parse_known_intermixed_args calls this method
            return super().parse_known_args(args, namespace)
        self._is_inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_inside = False


def add_model(parser: MixedParser, config: str, checkpoint: str = "checkpoint") -> None:
    """Add the arguments CONFIG, which may be left out, and CHECKPOINT, with their help."""
    parser.add_argument(
        "config",
        nargs="?",
        metavar="CONFIG",
        help=f"{config}; a .safetensors file written by mmproscale needs none",
    )
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help=f"{checkpoint}: a file, also of other packages, or hf://OWNER/NAME of the Hugging "
        "Face hub",
    )


class KeyValueAction(DictAction):
    """mmengine's action for options, with messages for values that it can't parse."""

    def __call__(self, parser, namespace, values, option_string=None):
        wrong = [value for value in values if "=" not in value]
        if wrong:
            parser.error(f"--cfg-options {wrong[0]}: expected KEY=VALUE")
        for key, value in (text.split("=", 1) for text in values):
            if value.lstrip().startswith(("dict(", "{")):
                parser.error(
                    f"--cfg-options {key}={value}: a dict can't be given so, give each of its keys "
                    f"as {key}.NAME=VALUE"
                )
        super().__call__(parser, namespace, values, option_string)


def add_cfg_options(parser: ArgumentParser) -> None:
    """Add mmdet's ``--cfg-options KEY=VALUE ...``; ``data_root=DIR`` moves every path under it."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=KeyValueAction,
        default={},
        metavar="KEY=VALUE",
        help="override config values, e.g. train_dataloader.batch_size=4; data_root=DIR moves "
        "every path of the config that lies under its data_root",
    )


def add_verbose(parser: ArgumentParser) -> None:
    """Add ``--verbose``."""
    parser.add_argument(
        "--verbose", action="store_true", help="show all lines that the log file has"
    )


def add_launcher(parser: ArgumentParser) -> None:
    """Add mmdet's options for distributed runs; torchrun sets LOCAL_RANK itself."""
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="job launcher",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)


def add_precision(parser: ArgumentParser) -> None:
    """Add ``--precision``, whose choices are those of :mod:`mmproscale.models.precision`."""
    parser.add_argument(
        "--precision",
        choices=["fp32", "bf16", "fp16"],
        default="fp32",
        help="precision of the products, fp16 only on GPUs; default: fp32",
    )


def add_measuring_options(parser: ArgumentParser) -> None:
    """Add device, threads, rounds, memory and precision of a measurement."""
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument(
        "--threads", type=at_least(1), help="threads on a CPU; default: PyTorch's choice"
    )
    parser.add_argument("--rounds", type=at_least(1), default=9, help="rounds that count")
    parser.add_argument("--warm-up", type=at_least(0), default=2, help="rounds before those")
    parser.add_argument("--no-memory", action="store_true", help="do not measure peak memory")
    add_precision(parser)
    # Asks a child process for the peak memory of one candidate of one case.
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)


def add_image_size(
    parser: ArgumentParser,
    name: str,
    default: tuple[int, int] | None = (800, 1088),
    least: int = 1,
) -> None:
    """Add an option for (H, W) of images; without a default, it is the config's own size."""
    stated = "{} {}".format(*default) if default else "that at which the config tests"
    parser.add_argument(
        name,
        nargs=2,
        type=at_least(least),
        default=default,
        metavar=("H", "W"),
        help=f"size of images before padding; default: {stated}",
    )


def at_least(least: int) -> Callable[[str], int]:
    """Return a type for argparse: a whole number that is not smaller than ``least``."""

    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    number.__name__ = "int"  # argparse then says: invalid int value
    return number


def positive(text: str) -> float:
    """Parse a number above 0 for argparse.

    Raises:
        ArgumentTypeError: The number is 0, negative, infinite or NaN.
    """
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def own_device() -> str | None:
    """Return this process's GPU among those of torchrun; None without torchrun or GPU."""
    import torch

    if torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return None


if Path(sys.argv[0]).resolve().is_relative_to(TOOLS):
    leave_at_once()  # a tool imports this module before those that take seconds
