"""docs/datasets.md names tools, options and configs that are there."""

import re
from pathlib import Path

import pytest

from mmproscale.utils.config import load_config

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
    assert converters <= set(TOOLS)
    configs = re.findall(r"configs/\S+\.py", PAGE)
    assert len(configs) == 3 and all((ROOT / config).is_file() for config in configs)


def test_every_kind_of_note_of_the_page_is_in_the_package():
    section = PAGE.split("These notes deserve a look:")[1].split("\n## ")[0]
    kinds = {k for row in section.splitlines() if row[:1] == "|" for k in named(row.split("|")[1])}
    assert len(kinds) > 12
    folder = ROOT / "mmproscale/datasets"
    code = "".join(path.read_text() for path in folder.rglob("*.py"))
    assert not {kind for kind in kinds if f'"{kind}"' not in code}


def named(text: str) -> list[str]:
    return re.findall(r"`([a-z0-9-]+)`", text)


def thresholds_of_the_page() -> dict[str, dict[str, str]]:
    """Glob of configs -> test_cfg key -> value, as the table has it."""
    section = PAGE.split("## Thresholds of fusion\n")[1].split("\n## ")[0]
    header, _, *rows = (
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    )
    return {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}


def keys_in_use(test_cfg):
    """Keys that a config's results depend on."""
    panoptic = {"object_mask_thr", "iou_thr", "filter_low_score"}
    return {"max_per_image"} | (panoptic if test_cfg["panoptic_on"] else set())


@pytest.mark.parametrize("pattern", thresholds_of_the_page())
def test_thresholds_are_those_of_the_configs(pattern):
    documented = thresholds_of_the_page()[pattern]
    paths = [path for path in sorted((ROOT / "configs").glob(pattern)) if "m2f" in path.stem]
    assert paths
    for path in paths:
        test_cfg = load_config(path).model.test_cfg
        used = keys_in_use(test_cfg)
        found = {key: str(test_cfg[key]) if key in used else "-" for key in documented}
        assert found == documented, path.name


def test_every_config_with_a_fusion_is_in_the_table():
    covered = [p for g in thresholds_of_the_page() for p in (ROOT / "configs").glob(g)]
    assert len(covered) == len(set(covered))
    for path in set((ROOT / "configs").glob("*.py")) - set(covered):
        assert "panoptic_fusion_head" not in load_config(path).model, path.name
