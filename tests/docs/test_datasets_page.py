"""docs/datasets.md names tools, options and configs that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/datasets.md").read_text()
TOOLS = sorted(set(re.findall(r"python tools/(\S+\.py)", PAGE)))


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_knows_the_options_of_the_page(tool, run_tool):
    _, out, _ = run_tool(tool, "--help")
    text = PAGE.replace("\\\n", " ")
    for line in re.findall(rf"python tools/{re.escape(tool)}(.*)", text):
        for option in re.findall(r"--[a-z-]+", line):
            assert option in out, f"{tool} {option}"


def test_every_converter_and_config_of_the_page_is_there():
    converters = {f"datasets/{path.name}" for path in (ROOT / "tools/datasets").glob("*.py")}
    assert converters - set(TOOLS) == {"datasets/make_shapes.py"}
    configs = re.findall(r"configs/\S+\.py", PAGE)
    assert len(configs) == 2 and all((ROOT / config).is_file() for config in configs)
