"""Test of the completion: bash completes words, options, choices and configs as a user types."""

import shutil
import subprocess

import pytest

from mmproscale.cli import completion, console

TYPED = [
    ("", {"train", "datasets", "help"}, {"ade20k", "--help"}),
    ("tra", {"train"}, {"predict"}),
    ("datasets ", {"ade20k", "from-labelme"}, {"train"}),
    ("datasets from-maps --im", {"--images"}, {"--semantic"}),
    ("help datasets ma", {"make-shapes"}, {"train"}),
    ("train --launcher ", {"slurm", "mpi"}, {"--amp"}),
    ("train proscale_m2f_r18", {"proscale_m2f_r18_shapes"}, {"--amp"}),
    ("train x --res", {"--resume"}, {"--amp"}),
    ("eco ", {"derive", "fit", "curve"}, {"--loss"}),
    ("eco fit --loss ", {"u-ce"}, {"derive"}),
    ("predict x --kinds ", {"panoptic", "instance"}, {"--out"}),
    ("completion ", {"bash", "zsh", "fish"}, {"train"}),
]
ASK = {
    "bash": "source {file}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
    '_mmproscale; printf "%s\\n" "${{COMPREPLY[@]}}"',
    "fish": "source {file}; complete -C '{line}'",
    "zsh": "compdef() {{ }}; compadd() {{ shift; print -l -- ${{(M)@:#${{words[CURRENT]}}*}} }}; "
    "_files() {{ }}; source {file}; words=({words}); CURRENT=${{#words}}; _mmproscale",
}


@pytest.fixture(scope="module", params=completion.SHELLS)
def shell(request, tmp_path_factory):
    """Return a function that types a line in a shell, and returns what it offers."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    file = tmp_path_factory.mktemp("completion") / request.param
    script = completion.completion_script(request.param, console.tools(), console.OWN)
    file.write_text(script)

    def type_line(line: str) -> set[str]:
        unfinished = [] if line and not line.endswith(" ") else ["''"]
        words = " ".join(["mmproscale", *line.split(), *unfinished])
        text = ASK[request.param].format(file=file, words=words, line=f"mmproscale {line}")
        return set(subprocess.check_output([request.param, "-c", text], text=True).split())

    return type_line


@pytest.mark.parametrize(("line", "offered", "absent"), TYPED)
def test_shell_offers_what_may_follow(line, offered, absent, shell):
    found = shell(line)
    assert offered <= found and not absent & found


@pytest.mark.parametrize("name", completion.SHELLS)
def test_every_script_has_every_command_and_option(name):
    script = completion.completion_script(name, console.tools(), console.OWN)
    for command, file in console.tools().items():
        assert command in script
        for option in completion.parser_of(file)._option_string_actions:
            assert option in script or len(option) == 2 or option == "--local_rank"
