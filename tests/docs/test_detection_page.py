"""docs/detection.md: its costs are the code's, its configs and options are there."""

import re
from pathlib import Path

import pytest

from mmproscale.models.encoders.schedule import build_schedule
from mmproscale.utils.config import load_config

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/detection.md").read_text()
COSTS = re.findall(
    r"^\| `(\w[\w-]+\.py)` \| ([\d, ]+) \| ([\d.]+) \| (\d+)% \| ([\d.]+) \|$", PAGE, re.M
)
REST = 99.618  # all but encoder and TRC, as tools/cost.py traces it: see the next test


def schedule_of(name):
    encoder = load_config(ROOT / "configs" / name).model.encoder
    channels = encoder.layer_cfg.ffn_cfg.feedforward_channels
    return build_schedule(encoder.schedule), channels


def encoder_cost(name, height, width):
    """GMACs of the encoder's layers."""
    schedule, channels = schedule_of(name)
    shapes = {s: (-(-height // s), -(-width // s)) for s in schedule.strides}
    return sum(schedule.cost(shapes, feedforward_channels=channels)) / 1e9


@pytest.mark.parametrize("row", COSTS, ids=lambda row: row[0])
def test_a_row_of_the_table_is_what_its_config_costs(row):
    name, updates, encoder, share, whole = row
    layers = schedule_of(name)[0].layers
    counts = [sum(s in layer.queries for layer in layers) for s in (64, 32, 16, 8)]
    assert ", ".join(map(str, counts)) == updates
    cost = encoder_cost(name, 800, 1088)
    assert f"{cost:.1f}" == encoder
    assert f"{cost / encoder_cost('dino_r50_coco.py', 800, 1088):.0%}" == f"{share}%"
    assert f"{cost + REST:.1f}" == whole


def test_every_dino_with_r50_is_in_the_table():
    there = {path.name for path in (ROOT / "configs").glob("*dino_r50_coco.py")}
    eco = {name for name in there if name.startswith("eco")}  # which cost what their twins do
    assert {row[0] for row in COSTS} == there - eco - {"proscale_m2f_r50-dino_coco.py"}


def test_table_t1_next_to_the_arithmetic():
    neck = (
        sum(
            # 1x1 projections of strides 8 to 32, a 3x3 convolution from 32 to 64, and their norms.
            height * width * 256 * (channels * kernel**2 + 5)
            for height, width, channels, kernel in (
                (100, 167, 512, 1),
                (50, 84, 1024, 1),
                (25, 42, 2048, 1),
                (13, 21, 2048, 3),
            )
        )
        / 1e9
    )
    configs = ("dino_r50_coco.py", "proscale_dino_r50_coco.py")
    layers = [encoder_cost(name, 800, 1333) for name in configs]
    for name, added in (("layers", 0.0), ("layers and the neck's projections", neck)):
        row = re.search(rf"^\| {name} \| ([\d.]+) \| ([\d.]+) \| (\d+)% \|$", PAGE, re.M)
        costs = [cost + added for cost in layers]
        assert row.groups() == (
            f"{costs[0]:.1f}",
            f"{costs[1]:.1f}",
            f"{100 * (1 - costs[1] / costs[0]):.0f}",
        )
    assert layers[0] + neck == pytest.approx(179.0, rel=0.02)
    assert 126.0 / (layers[1] + neck) == pytest.approx(1.07, abs=0.01)


def test_the_config_of_the_page_builds(tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "mine.py").write_text(block)
    model = load_config(tmp_path / "mine.py").model
    ours = load_config(ROOT / "configs/proscale_dino_r50_coco.py").model
    assert model.encoder.schedule == ours.encoder.schedule
    assert model.recalibration == ours.recalibration and model.type == ours.type


def test_tools_know_the_options_and_configs_are_there(run_tool):
    for tool in sorted(set(re.findall(r"python tools/(\S+\.py)", PAGE))):
        _, out, _ = run_tool(tool, "--help")
        for line in re.findall(rf"python tools/{re.escape(tool)}([^#\n]*)", PAGE):
            for option in re.findall(r" (--[a-z-]+)", line):
                assert option in out, f"{tool} {option}"
    for config in re.findall(r"configs/([\w-]+\.py)", PAGE):
        assert (ROOT / "configs" / config).is_file(), config
