"""The command ``mmproscale``, also as ``python -m mmproscale``: every tool, from any folder.

The file ``tools/A/B_C.py`` is the command ``mmproscale A B-C``; its ``main`` reads the arguments.
The commands ``help``, ``version`` and ``completion`` have no file.
"""

from __future__ import annotations

import ast
import sys
from difflib import get_close_matches
from pathlib import Path

from mmproscale import __version__
from mmproscale.cli.command_line import command_line
from mmproscale.cli.completion import SHELLS, completion_script, load
from mmproscale.compat import describe_stack
from mmproscale.errors import InputError
from mmproscale.utils.config import CONFIGS, TOOLS

# Heading -> an example, and the commands or first words of commands below it.
GROUPS = {
    "data": (
        "check-dataset proscale_m2f_r50_coco --cfg-options data_root=/data/coco",
        ("check-dataset", "datasets"),
    ),
    "training": (
        "new-config --data my_data --base proscale_m2f_r50 --out my_config.py",
        ("new-config", "train", "curve", "demo", "launch"),
    ),
    "using a trained model": (
        "predict model.safetensors photos/ --out predictions",
        ("predict", "test", "evaluate", "report", "analyze", "convert", "export", "publish"),
    ),
    "cost and speed": (
        "cost proscale_m2f_r50_coco m2f_r50_coco",
        ("cost", "plan", "benchmark", "eco"),
    ),
    "others": ("help train", ()),
}
OWN = {
    "help": "Show the help of a command: mmproscale help COMMAND",
    "version": "Show the versions of mmproscale and of the packages below it",
    "completion": "Print a script that completes command lines: mmproscale completion bash",
}


@command_line
def main() -> None:
    """Run the tool that the first words of the command line name; list all tools without words."""
    words = sys.argv[1:]
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    if not words or words[0] in ("-h", "--help"):
        print(overview())
    elif words[0] in ("version", "--version"):
        print(f"mmproscale {__version__} on {describe_stack()}")
    elif words[0] == "completion":
        print(_completion(words[1:]))
    else:
        command = command_of(words)
        started = "python -m " * (Path(sys.argv[0]).name == "__main__.py")
        sys.argv = [f"{started}mmproscale {command}", *words[len(command.split()) :]]
        load(tools()[command]).main()


def _completion(words: list[str]) -> str:
    if len(words) != 1 or words[0] not in SHELLS:
        raise InputError(f"mmproscale completion: name a shell, one of {', '.join(SHELLS)}")
    return completion_script(words[0], tools(), OWN)


def tools() -> dict[str, Path]:
    """Return command -> file; files directly in ``tools/`` come first."""
    files = sorted(TOOLS.rglob("*.py"), key=lambda file: (len(file.parts), file))
    return {_command(file): file for file in files}


def _command(file: Path) -> str:
    words = file.relative_to(TOOLS).with_suffix("").parts
    return " ".join(words).replace("_", "-")


def command_of(words: list[str]) -> str:
    """Return the command at the beginning of a command line; ``new_config`` is ``new-config``.

    Raises:
        InputError: There is no such command.
    """
    known = tools()
    for count in (2, 1):
        named = " ".join(words[:count]).replace("_", "-")  # as the files of tools/ are named
        if named in known:
            return named
    named = " ".join(words[: 2 if (TOOLS / words[0]).is_dir() else 1])
    close = get_close_matches(named, [*known, *OWN], 1)
    hint = f"did you mean '{close[0]}'?" if close else "mmproscale --help lists them"
    if below := [command for command in known if command.startswith(f"{named} ")]:
        hint = f"name one of {', '.join(below)}"
    raise InputError(f"mmproscale has no command '{named}': {hint}")


def overview() -> str:
    """Return usage and all commands in groups, each with the first line of its docstring."""
    summaries = {command: _summary(file) for command, file in tools().items()} | OWN
    width = max(map(len, summaries))
    lines = ["usage: mmproscale COMMAND [ARGUMENTS]", "       mmproscale help COMMAND"]
    for heading, (example, firsts) in GROUPS.items():
        of_group = [c for c in summaries if not firsts or c in firsts or c.split()[0] in firsts]
        lines += ["", f"{heading}, e.g. mmproscale {example}"]
        lines += [f"  {command:{width}}  {summaries.pop(command)}" for command in of_group]
    return "\n".join([*lines, "", f"Configs go by name; they are in {CONFIGS}"])


def _summary(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]
