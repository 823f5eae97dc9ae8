"""Errors of other packages: one line if a user can mend it; a bug keeps its traceback."""

import errno
import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, Registry

from mmproscale.cli.foreign_errors import describe_foreign

PARTS = Registry("part")
KILLED = "DataLoader worker (pid(s) 7) exited unexpectedly"


@PARTS.register_module()
class Layers:
    """A part of a model, as a user's package may have one."""

    def __init__(self, depth: int) -> None:
        self.depth = range(depth)


def caught(act) -> Exception:
    """Return what is raised, with its traceback."""
    try:
        act()
    except Exception as error:
        return error
    pytest.fail("nothing is raised")


def raised(error: Exception) -> Exception:
    def act():
        raise error

    return caught(act)


def build(file: Path, part: dict) -> None:
    file.write_text(f"part = {part}\n")
    config = Config.fromfile(file)
    PARTS.build(config.part)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (dict(type="Layers", depth="x"), "can't build Layers: TypeError: 'str' object cannot"),
        (dict(type="Layers"), "can't build Layers: TypeError: Layers.__init__() missing 1"),
        (
            dict(type="Layer"),
            "can't build Layer: KeyError: Layer is not in the ",
        ),
        (3, "can't build 3: TypeError: cfg should be a dict"),
    ],
)
def test_a_part_that_cannot_be_built_is_named_with_its_config(part, said, tmp_path):
    file = tmp_path / "mine.py"
    line = describe_foreign(caught(lambda: build(file, part)))
    assert line.startswith(f"config {file} {said}") and "\n" not in line
    assert line.endswith("; MMPROSCALE_TRACEBACK=1 shows the calls)")


def test_a_value_at_which_openmmlab_stops_is_the_configs():
    line = describe_foreign(caught(lambda: MODELS.get(3)))
    assert line.startswith("config of this command has a value that does not fit: ")
    assert "(mmengine/registry/registry.py:" in line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.json"),
            "a.json: No space left",
        ),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "b"), "b: Permission denied"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device (cli/test_for"),
        (MemoryError(), "out of memory (in Python): use"),
        (
            RuntimeError("CUDA out of memory. Tried\nmore"),
            "out of memory (CUDA out of memory. Tried)",
        ),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory (CUDA"),
        (RuntimeError(f"{KILLED}\nmore"), f"{KILLED}: it may have lacked memory"),
        (FloatingPointError("mask logits of 1.jpg are not finite"), "mask logits of 1.jpg are not"),
    ],
)
def test_what_the_machine_refuses_is_one_line(error, line):
    found = describe_foreign(raised(error))
    assert found.startswith(line) and "\n" not in found


def test_the_cause_behind_an_error_counts():
    error = raised(ValueError("a wrapper"))
    error.__cause__ = raised(PermissionError(errno.EACCES, "Permission denied", "c.json"))
    assert describe_foreign(error) == "c.json: Permission denied"


@pytest.mark.parametrize(
    "act",
    [
        lambda: {}["a bug"],
        lambda: torch.zeros(2) @ torch.zeros(3),
        lambda: torch.nn.Linear(2, 2)(torch.zeros(3)),
    ],
)
def test_a_bug_is_not_described(act):
    assert describe_foreign(caught(act)) is None


def test_a_batch_norm_with_one_number_to_train_on_names_the_remedies():
    error = caught(lambda: torch.nn.BatchNorm2d(3)(torch.zeros(1, 3, 1, 1)))
    line = describe_foreign(error)
    assert line.startswith("a batch norm got a map of shape [1, 3, 1, 1] to train on: use a larger")
    assert describe_foreign(ValueError("Expected something else")) is None
