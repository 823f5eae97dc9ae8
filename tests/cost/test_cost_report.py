"""Costs of exits, which are the paper's and those of a model left there, and tables of costs."""

import pytest
from mmengine.config import Config

from mmproscale.cost.activation_memory import ActivationMemory
from mmproscale.cost.cost_report import (
    ConfigCost,
    ExitCost,
    as_json,
    cost_of,
    exit_cost,
    exits_table,
    mean_cost,
    own_size,
    side_by_side,
    single_table,
)
from mmproscale.cost.model_cost import ModelCost, PartCost, build_network, model_cost
from mmproscale.errors import InputError
from mmproscale.utils.config import load_config

SMALL = ["eco_m2f_r18_shapes", "eco-lite_m2f_r18_shapes", "eco-proscale_m2f_r18_shapes"]


def config_of(configs, name, **decoder):
    config = load_config(configs / f"{name}.py")
    config.model.panoptic_head.pixel_decoder.update(decoder)
    return config


def test_eco_m2fs_exits_cost_what_the_paper_says(configs):
    cost = model_cost(build_network(config_of(configs, "eco_m2f_swin-t_cityscapes")), (1024, 2048))
    pixel_decoder = {k: exit_cost(cost, k).published_pixel_decoder / 1e9 for k in cost.saved}
    assert list(pixel_decoder) == [2, 3, 4, 5, 6]
    assert pixel_decoder[2] == pytest.approx(155.26, rel=0.005)  # all at exit 2: beta = 0.1
    assert pixel_decoder[6] == pytest.approx(281.13, rel=0.005)
    layers = [pixel_decoder[k + 1] - pixel_decoder[k] for k in (2, 3, 4, 5)]
    assert layers == pytest.approx([31.4] * 4, rel=0.005)
    assert pixel_decoder[2] - 2 * layers[0] == pytest.approx(92, rel=0.01)
    assert exit_cost(cost, 2).published_total / 1e9 == pytest.approx(411.98, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_an_exits_cost_is_that_of_the_model_which_is_left_there(configs, name):
    cost = model_cost(build_network(config_of(configs, name)), (96, 130))
    gate = next(part.macs for part in cost.parts if part.name == "exit gate")
    assert gate == 64 * len(cost.saved) < 1e-5 * cost.total
    for exit_ in cost.saved:
        forced = model_cost(build_network(config_of(configs, name, exit=exit_)), (96, 130))
        assert not forced.saved
        at_exit = exit_cost(cost, exit_)
        assert at_exit.total == forced.total + gate
        assert at_exit.published_pixel_decoder == forced.published_pixel_decoder + gate
        assert exit_cost(forced, exit_).total == forced.total


@pytest.mark.parametrize("name", SMALL)
def test_layers_cost_what_the_schedule_says(configs, name):
    network = build_network(config_of(configs, name))
    cost = model_cost(network, (96, 130))
    encoder = network.mask_head.pixel_decoder.encoder
    shapes = {32: (3, 5), 16: (6, 10), 8: (12, 20)}
    layers = encoder.schedule.cost(shapes, **encoder.widths)
    for exit_, saved in cost.saved.items():
        assert saved == sum(layers[index] for index in encoder.schedule.skipped_layers(exit_))
    assert cost.saved[max(cost.saved)] == 0


def test_a_model_without_a_gate_has_one_cost(configs):
    cost = model_cost(build_network(load_config(configs / "m2f_r18_shapes.py")), (64, 64))
    assert not cost.saved
    assert exit_cost(cost, 3).total == cost.total


def test_following_a_model_leaves_its_gate_as_it_was(configs):
    network = build_network(config_of(configs, SMALL[0]))
    model_cost(network, (64, 64))
    assert network.mask_head.pixel_decoder.exit is None


def test_the_mean_over_images():
    mean = mean_cost([ExitCost(1, 2, 3, 4), ExitCost(3, 2, 4, 8)])
    assert mean == ExitCost(2, 2, 3.5, 6)


def giga_cost(name, *parts, published=None, saved=None, memory=None):
    """Costs with parts of (name, GMACs, millions of parameters)."""
    made = tuple(
        PartCost(
            part, int(gmacs * 1e9), int(millions * 1e6), part.startswith(("encoder", "mask p"))
        )
        for part, gmacs, millions in parts
    )
    cost = ModelCost((64, 96), made, published, saved or {})
    return ConfigCost(f"configs/{name}.py", (60, 96), cost, memory)


MEMORY = ActivationMemory(2**20, 2**19, 2**22, 2**21)
STAGES = giga_cost(
    "stages",
    ("backbone", 10, 5),
    ("encoder stage 1: 32 <- 32 x1", 1, 1),
    ("encoder stage 2: 32,16 <- 32,16 x1", 2, 1),
    ("mask projection", 0, 0.5),
    published={"mask projection": 4 * 10**9},
    saved={2: 2 * 10**9, 3: 0},
    memory=MEMORY,
)
PLAIN = giga_cost("plain", ("backbone", 10, 5), ("fusion", 0.013, 0), ("encoder", 6, 2))


def test_one_model_is_a_row_for_each_part_then_its_totals():
    assert single_table(STAGES) == [
        ["", "GMACs", "share", "parameters"],
        ["backbone", "10.00", "76.9%", "5.00 M"],
        ["encoder stage 1: 32 <- 32 x1", "1.00", "7.7%", "1.00 M"],
        ["encoder stage 2: 32,16 <- 32,16 x1", "2.00", "15.4%", "1.00 M"],
        ["mask projection", "0.00", "0.0%", "0.50 M"],
        ["total as run", "13.00", "100.0%", "7.50 M"],
        ["pixel decoder (Tx. Enc.)", "3.00", "", ""],
        ["published form, pixel decoder", "7.00", "", ""],
        ["published form, total", "17.00", "", ""],
        ["activations, inference, fp32", "1 MiB", "", ""],
        ["activations, inference, 16 bits", "0 MiB", "", ""],
        ["activations, training, fp32", "4 MiB", "", ""],
        ["activations, training, 16 bits", "2 MiB", "", ""],
    ]
    assert single_table(PLAIN)[-1] == ["encoder (Tx. Enc.)", "6.00", "", ""]


def test_models_next_to_each_other_have_percentages_of_the_first():
    table = {row[0]: row[1:] for row in side_by_side([PLAIN, STAGES])}
    assert list(table)[1:5] == ["backbone", "fusion", "encoder", "mask projection"]
    assert table["GMACs"] == ["plain", "stages"]
    assert table["backbone"] == ["10.00", "10.00 (100%)"]
    assert table["fusion"] == ["0.013", "-"]
    assert table["encoder"] == ["6.00", "3.00 (50%)"]  # its stages are one row
    assert table["published form, pixel decoder"] == ["6.00", "7.00 (117%)"]
    assert table["parameters"] == ["7.00 M", "7.50 M (107%)"]
    assert table["activations, training, fp32"] == ["-", "4.00 MiB"]
    assert "padded to" not in table


def test_exits_have_rows_where_a_gate_chooses():
    assert exits_table(PLAIN) == []
    heading, *rows = exits_table(STAGES)
    assert heading == [
        "exit",
        "total as run",
        "pixel decoder",
        "published form",
        "its pixel decoder",
    ]
    assert rows == [
        ["2", "11.00", "1.00", "15.00", "5.00"],
        ["3", "13.00", "3.00", "17.00", "7.00"],
    ]


def test_json_has_gmacs_and_bytes():
    (cost,) = as_json([STAGES])
    assert (cost["config"], cost["shape"], cost["padded_shape"]) == (
        STAGES.config,
        [60, 96],
        [64, 96],
    )
    assert (cost["total"], cost["published_total"], cost["params"]) == (13.0, 17.0, 7_500_000)
    assert cost["exits"][0]["exit"] == 2 and cost["exits"][0]["pixel_decoder"] == 1.0
    assert cost["parts"][0] == {"name": "backbone", "gmacs": 10.0, "params": 5_000_000}
    assert cost["activation_memory"]["training_half"] == 2**21


def test_a_model_that_cannot_run_at_a_size_is_named():
    name = "mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py"
    with pytest.raises(InputError, match=r"can't be followed through an image of 32x32"):
        cost_of(name, (32, 32))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("proscale_m2f_r50_coco", (800, 1088)),
        ("dino_r50_coco", (800, 1088)),
        ("proscale_m2f_r50_cityscapes", (1024, 2048)),
        ("m2f_r50_ade20k-semantic", (512, 704)),
        ("m2f_r18_camvid-semantic", (360, 480)),
        ("m2f_r18_shapes", (128, 128)),
        ("mmdet::detr/detr_r50_8xb2-150e_coco.py", (800, 1088)),
    ],
)
def test_a_config_has_its_own_size(name, size):
    assert own_size(load_config(name)) == size


def test_without_a_test_pipeline_the_size_is_cocos():
    assert own_size(Config(dict(model=dict()))) == (800, 1088)
