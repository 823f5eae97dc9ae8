"""tools/test.py refuses options that don't go together before it builds anything."""

import re
from pathlib import Path

import pytest

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "proscale_m2f_r18_shapes.py"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--kinds", "instance", "--out", "kept"), "--out writes .*: add panoptic to --kinds"),
        (("--kinds", "semantic", "--instances", "a.json"), "--instances is for AP: add --kinds"),
    ],
)
def test_options_that_do_not_go_together(run_tool, tmp_path, options, says):
    folder = tmp_path / "run"
    status, _, error = run_tool("test.py", CONFIG, "absent.pth", "--work-dir", folder, *options)
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert status == 2
    assert re.search(says, line)
