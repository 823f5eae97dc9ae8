"""Parts that command lines share: errors as one line on stderr, options, types of numbers."""

from __future__ import annotations

import functools
import os
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable

from mmengine.config import DictAction

from mmproscale.errors import InputError
from mmproscale.timing.measuring_options import at_least

ANY_CONFIG = "config file, the name of one of ours, or of a package: mmdet::detr/NAME.py"
_BUILDING = re.compile(r"class `\w+` in \S+\.py: ")
_QUALIFIED = f"{InputError.__module__}.{InputError.__qualname__}"


def command_line(main: Callable[[], None]) -> Callable[[], None]:
    """Decorate a tool's ``main``: an InputError becomes ``error: ...`` and exit status 2."""

    @functools.wraps(main)
    def wrapped() -> None:
        try:
            main()
        except Exception as error:
            message = _input_error(error)
            if message is None:
                raise
            if os.environ.get("RANK", "0") == "0":  # one line, however many processes
                print(f"error: {message}", file=sys.stderr)
            sys.exit(2)

    return wrapped


def _input_error(error: BaseException | None) -> str | None:
    """The message of the last InputError that was raised on the way to ``error``.

    It has what those before it say, and where that was. One that a data loader's worker raised
    arrives as an InputError whose message is the worker's whole traceback; its last line is what we
    want. What mmengine puts before the message of whatever fails in a constructor is left out.
    """
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    if error is None:
        return None
    message = str(error).strip().splitlines()[-1].rpartition(f"{_QUALIFIED}: ")[2]
    return _BUILDING.sub("", message)


def make_parser(description: str | None) -> ArgumentParser:
    """Make a parser that prints the description as it is and takes whole option names only."""
    return ArgumentParser(
        description=description,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_shape_option(parser: ArgumentParser) -> None:
    """Add ``--shape H W``, the size of an image before padding."""
    parser.add_argument(
        "--shape",
        nargs=2,
        type=at_least(1),
        default=(800, 1088),
        metavar=("H", "W"),
        help="size of the image before padding; 800 1088 if not given",
    )


def positive(text: str) -> float:
    """Parse a number above 0 for argparse.

    Raises:
        ArgumentTypeError: The number is 0, negative, infinite or NaN.
    """
    number = float(text)
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"{text} is not above 0")
    return number


class KeyValueAction(DictAction):
    """mmengine's action, which says what is wrong with an option that has no ``=``."""

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


def add_launcher(parser: ArgumentParser) -> None:
    """Add mmdet's options for distributed runs; torchrun sets LOCAL_RANK itself."""
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="job launcher",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)
