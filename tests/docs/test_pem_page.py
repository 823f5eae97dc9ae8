"""docs/pem.md as a reader follows it: its configs are written and built, its figures counted."""

import re
from pathlib import Path

import pytest

from mmproscale.cost.model_cost import build_network, model_cost
from mmproscale.utils.config import load_config

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/pem.md").read_text()


@pytest.fixture
def reader(tmp_path):
    """A folder with the page's files, where configs/ is the repository's."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / re.match(r"# (\w+\.py)\n", block).group(1)).write_text(block)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "decoder", "layer"),
    [
        ("prototypes_over_proscale", "DeformablePixelDecoder", "PrototypeAttentionLayer"),
        ("masked_attention_over_pem", "PEMPixelDecoder", "MaskedAttentionLayer"),
    ],
)
def test_each_half_goes_by_itself(reader, name, decoder, layer):
    head = build_network(load_config(reader / f"{name}.py")).mask_head
    assert type(head.pixel_decoder).__name__ == decoder
    assert [type(made).__name__ for made in head.transformer_decoder.layers] == [layer] * 6


@pytest.mark.parametrize("name", ["pem_m2f_stdc1_cityscapes", "m2f_r50_cityscapes"])
def test_the_costs_are_those_that_are_counted(configs, name):
    (row,) = re.findall(rf"^\| `{name}\.py` \| (.*) \|$", PAGE, re.MULTILINE)
    cost = model_cost(build_network(load_config(configs / f"{name}.py")), (1024, 2048))
    counted = cost.published_total, cost.published_pixel_decoder, cost.total
    costs = [f"{macs / 1e9:.1f}" for macs in counted]
    assert row.split(" | ")[:4] == [*costs, f"{cost.params / 1e6:.1f} M"]


def test_every_key_of_the_tables_is_one_of_the_model(configs):
    head = load_config(configs / "pem_m2f_r50_cityscapes.py").model.panoptic_head
    keys = re.findall(r"^\| `((?:pixel_decoder|layer_cfg)[\w.]*)` \| (.*) \|$", PAGE, re.MULTILINE)
    assert len(keys) == 7
    for path, values in keys:
        for value in re.findall(r'`("\w+"|dict\(.*?\))`', values):
            changed = {f"model.panoptic_head.{_full(path)}": eval(value)}
            build_network(load_config(configs / "pem_m2f_r18_shapes.py", changed))
    assert head.pixel_decoder.channels == 128


def _full(path):
    return path if path.startswith("pixel_decoder") else f"transformer_decoder.{path}"
