"""The page on export: its options and outputs are the tool's, and its programs can be read."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mmproscale.export import fused, graph
from mmproscale.inference.export_info import ExportInfo

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "export.md").read_text()
TOOL = (ROOT / "tools" / "export.py").read_text()
PROGRAM = ROOT / "docs" / "segments.mjs"


def test_options_on_the_page_are_the_tools():
    options = set(re.findall(r'"(--[\w-]+)"', TOOL)) | {"--cfg-options"}
    table = PAGE.split("## Inputs and outputs")[0]
    assert set(re.findall(r"^\| `(--[\w-]+)", table, re.M)) <= options
    named = set(re.findall(r"`(--[\w-]+)", PAGE)) - {"--ignore-scripts", "--fp16"}
    assert named <= options and len(named) > 8


def test_every_output_is_named_on_the_page():
    classes = [*vars(fused).values(), *vars(graph).values()]
    names = {n for c in classes for n in getattr(c, "outputs", ()) if isinstance(c, type)}
    assert len(names) >= 8
    assert all(f"`{name}`" in PAGE for name in names)
    keys = {key.removeprefix("mmproscale.") for key in ExportInfo.metadata_keys()}
    assert all(key in PAGE for key in keys)


def test_the_python_lines_are_python():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "export.md", "exec")


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_the_program_for_node_is_javascript():
    subprocess.run(["node", "--check", PROGRAM], check=True)
    outputs = set(re.findall(r"results\.(\w+)\.data", PROGRAM.read_text()))
    assert outputs == set(fused.PanopticFusion.outputs)
