"""Peak memory of a call, without the memory that the process held before."""

import pytest

from mmproscale.errors import InputError
from mmproscale.timing import measured_memory

HOLDS_TWO_OF_THREE = """
import torch
from mmproscale.timing import measured_memory

MIB_OF_FLOATS = 2**18

def run():
    a = torch.ones(40 * MIB_OF_FLOATS)
    b = a + 1
    del a
    return (b * 2).sum()

before = torch.ones(150 * MIB_OF_FLOATS)
del before  # the highest so far
print(measured_memory.peak_on_cpu(run, warm_up=lambda: torch.ones(10)))
"""


def test_counts_what_is_held_at_once_and_not_what_was_before(tmp_path):
    # In a process of its own: what tests before this one left free would be used first.
    script = tmp_path / "child.py"
    script.write_text(HOLDS_TWO_OF_THREE)
    assert measured_memory.peak_in_a_child(str(script), []) == pytest.approx(80, abs=8)


def test_a_child_answers_in_its_last_line(tmp_path):
    script = tmp_path / "child.py"
    script.write_text("import sys\nprint('a log line')\nprint(len(sys.argv) + 0.5)\n")
    assert measured_memory.peak_in_a_child(str(script), ["a", "b c"]) == 3.5
    script.write_text("raise SystemExit(3)")
    with pytest.raises(InputError, match=r"ended with status 3: .* add --no-memory"):
        measured_memory.peak_in_a_child(str(script), [])


def test_says_where_memory_cannot_be_read(monkeypatch):
    monkeypatch.setattr(measured_memory.Path, "is_file", lambda self: False)
    with pytest.raises(InputError, match="add --no-memory"):
        measured_memory.check_memory_can_be_read()
