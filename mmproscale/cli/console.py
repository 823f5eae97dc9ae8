"""The command ``mmproscale``, also as ``python -m mmproscale``: every tool, from any folder.

The file ``tools/A/B_C.py`` is the command ``mmproscale A B-C``; its ``main`` reads the arguments.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from difflib import get_close_matches
from pathlib import Path

from mmproscale import __version__
from mmproscale.cli.command_line import command_line
from mmproscale.compat import describe_stack
from mmproscale.errors import InputError
from mmproscale.utils.config import CONFIGS, TOOLS


@command_line
def main() -> None:
    """Run the tool that the first words of the command line name; list all tools without words."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print(overview())
    elif words[0] == "--version":
        print(f"mmproscale {__version__} on {describe_stack()}")
    else:
        command = command_of(words)
        sys.argv = [f"mmproscale {command}", *words[len(command.split()) :]]
        run(tools()[command])


def tools() -> dict[str, Path]:
    """Return command -> file; files directly in ``tools/`` come first."""
    files = sorted(TOOLS.rglob("*.py"), key=lambda file: (len(file.parts), file))
    return {_command(file): file for file in files}


def _command(file: Path) -> str:
    words = file.relative_to(TOOLS).with_suffix("").parts
    return " ".join(words).replace("_", "-")


def command_of(words: list[str]) -> str:
    """Return the command at the beginning of a command line.

    Raises:
        InputError: There is no such command.
    """
    known = tools()
    for count in (2, 1):
        if " ".join(words[:count]) in known:
            return " ".join(words[:count])
    named = " ".join(words[: 2 if (TOOLS / words[0]).is_dir() else 1])
    close = get_close_matches(named, known, 1)
    hint = f"did you mean '{close[0]}'?" if close else "mmproscale --help lists them"
    raise InputError(f"mmproscale has no command '{named}': {hint}")


def run(file: Path) -> None:
    """Import a tool's file and call its ``main``."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()


def overview() -> str:
    """Return usage and all commands, each with the first line of its file's docstring."""
    known = tools()
    width = max(map(len, known))
    lines = [f"  {command:{width}}  {_summary(file)}" for command, file in known.items()]
    return "\n".join(
        [
            "usage: mmproscale COMMAND [ARGUMENTS], e.g. mmproscale train proscale_m2f_r50_coco",
            "       mmproscale COMMAND --help | --version",
            "",
            *lines,
            "",
            f"Configs go by name; they are in {CONFIGS}",
        ]
    )


def _summary(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]
