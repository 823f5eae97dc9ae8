"""Completion of command lines in shells: a script of every command's words, options and choices."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from mmproscale.utils.config import CONFIGS
from mmproscale.version import __version__

CONFIG_ARGUMENTS = ("config", "configs", "base", "against")
_POSIX = """\
# Completion of mmproscale {version} for {shell}.
_mmproscale() {{
{setup}
    local candidates
    case "$line" in
{cases}
    esac
{answer}
}}
{install}
"""
_BASH = dict(
    setup='    local line="${COMP_WORDS[*]:1:COMP_CWORD-1}" word="${COMP_WORDS[COMP_CWORD]}"\n'
    '    ((COMP_CWORD > 1)) && line+=" "',
    answer='    COMPREPLY=($(compgen -W "$candidates" -- "$word"))',
    install="complete -o default -F _mmproscale mmproscale",
)
_ZSH = dict(
    setup='    local line="${words[2,CURRENT-1]}"\n    ((CURRENT > 2)) && line+=" "',
    answer="    compadd -- ${=candidates}\n    _files",
    install="compdef _mmproscale mmproscale",
)
_FISH = """\
# Completion of mmproscale {version} for fish.
function _mmproscale
    set -l line (string join '' -- (commandline -opc)[2..]' ')
    switch "$line"
{cases}
    end
end
complete -c mmproscale -a '(_mmproscale)'
"""
SHELLS = ("bash", "zsh", "fish")


def completion_script(shell: str, tools: Mapping[str, Path], others: Iterable[str]) -> str:
    """Return a script that completes ``mmproscale`` in a shell.

    Args:
        shell: One of ``SHELLS``.
        tools: Command -> its file.
        others: Commands without a file.
    """
    rows = list(_rows(tools, list(others)))
    if shell == "fish":
        cases = [
            f"        case '{'*'.join(parts)}'\n            printf '%s\\n' {' '.join(words)}"
            for parts, words in rows
        ]
        return _FISH.format(version=__version__, cases="\n".join(cases))
    cases = [
        f"""        {"*".join(f'"{part}"' if part else "" for part in parts) or '""'}) """
        f"""candidates="{" ".join(words)}" ;;"""
        for parts, words in rows
    ]
    texts = _BASH if shell == "bash" else _ZSH
    return _POSIX.format(version=__version__, shell=shell, cases="\n".join(cases), **texts)


def _rows(
    tools: Mapping[str, Path], others: list[str]
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield the words before the cursor, as the parts between stars, and what may follow them."""
    folders = dict.fromkeys(command.split()[0] for command in tools if " " in command)
    first = [*(command for command in tools if " " not in command), *folders, *others]
    yield ("",), first
    yield ("help ",), first
    yield ("completion ",), list(SHELLS)
    for folder in folders:
        below = [command.split()[1] for command in tools if command.startswith(f"{folder} ")]
        yield (f"{folder} ",), below
        yield (f"help {folder} ",), below
    for command, file in tools.items():
        yield from _rows_of(command, parser_of(file))


def _rows_of(command: str, parser: ArgumentParser) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    options: list[str] = []
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            yield (f"{command} ",), list(action.choices)
            for name, inner in action.choices.items():
                yield from _rows_of(f"{command} {name}", inner)
        words = _values(action)
        options += action.option_strings[-1:] or words
        for option in action.option_strings if words else ():
            yield (f"{command} ", f"{option} "), words
    yield (f"{command} ", ""), options


def _values(action: Any) -> list[str]:
    if action.dest in CONFIG_ARGUMENTS:
        return sorted(file.stem for file in CONFIGS.glob("*.py"))
    return [str(choice) for choice in action.choices or ()]


def parser_of(file: Path) -> ArgumentParser:
    """Return the parser that a tool builds to print its help; the tool itself does not run."""
    built: list[ArgumentParser] = []

    def stop(parser: ArgumentParser, *_: Any) -> None:
        built.append(parser)
        sys.exit()

    with (
        mock.patch.object(sys, "argv", [str(file), "--help"]),
        mock.patch.object(ArgumentParser, "parse_args", stop),
        contextlib.suppress(SystemExit),
    ):
        load(file).main()
    return built[0]


def load(file: Path) -> ModuleType:
    """Import a tool's file and return its module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
