"""Half precision at inference: results near fp32's, parts that stay in fp32, refusals."""

import numpy as np
import pytest
import torch
from helpers.exported_models import photo, small_predictor
from mmengine.model import BaseModel
from torch import nn

from mmproscale.cli.command_line import make_parser
from mmproscale.errors import InputError
from mmproscale.inference.predictor import Predictor
from mmproscale.models.precision import (
    IN_FP32,
    PRECISIONS,
    PRODUCTS,
    check_precision,
    set_precision,
)

IMAGE = photo(96, 128)


def both(family, folder, **options):
    """The predictor of a family's small model in fp32, and the same in bf16."""
    exact = small_predictor(family, folder)
    half = Predictor(exact.config, folder / "model.pth", "cpu", precision="bf16", **options)
    return exact, half


@pytest.mark.parametrize("family", ["PRO-SCALE", "ECO"])
def test_segments_are_those_of_fp32(family, tmp_path):
    exact, half = both(family, tmp_path)
    results = exact(IMAGE), half(IMAGE)
    assert (results[0].panoptic == results[1].panoptic).mean() > 0.9
    assert len({s.label for s in results[0].segments} & {s.label for s in results[1].segments})
    module = half.model.panoptic_head.pixel_decoder
    assert module.encoder.layers[0].self_attn.value_proj.weight.dtype == torch.bfloat16
    assert module.input_convs[0].gn.weight.dtype == torch.float32
    if family == "ECO":
        assert module.exit_gate.linear.weight.dtype == torch.float32


def test_products_are_in_half_precision_and_autocast_ends(tmp_path):
    exact, half = both("PRO-SCALE", tmp_path)
    seen = []
    half.model.panoptic_head.mask_embed.register_forward_hook(lambda *a: seen.append(a[2].dtype))
    half(IMAGE)
    assert set(seen) == {torch.bfloat16}
    assert not torch.is_autocast_enabled("cpu")
    assert {p.dtype for p in exact.model.parameters()} == {torch.float32}


@pytest.mark.parametrize("family", ["DINO", "DETR"])
def test_boxes_stay_within_a_pixel(family, tmp_path):
    exact, half = both(family, tmp_path)
    seen = []
    for name, module in half.model.named_modules():
        if isinstance(module, PRODUCTS) and not IN_FP32.isdisjoint(name.split(".")):
            module.register_forward_hook(lambda *a: seen.append(a[2].dtype))
    found, expected = (one(IMAGE).instances for one in (half, exact))
    assert seen and set(seen) == {torch.float32}
    distance = np.abs(found.boxes[:, None] - expected.boxes[None]).max(-1).min(1)
    assert np.median(distance) < 1
    assert (found.boxes.astype(np.float16) != found.boxes).any()  # no coordinates of 8 bits


def test_views_are_merged_in_fp32(tmp_path):
    from mmproscale.inference.image_views import ImageViews

    exact, half = both("PRO-SCALE", tmp_path, views=ImageViews())
    assert (half(IMAGE).panoptic == exact(IMAGE).panoptic).mean() > 0.5


def test_a_wrapped_model_is_converted():
    class Network(BaseModel):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, inputs, mode="predict"):
            return self.predict(inputs)

        def predict(self, inputs):
            return self.layer(inputs) @ torch.ones(2, 2)

    wrapped = nn.ModuleDict({"module": Network()})
    set_precision(wrapped, "fp32")
    assert wrapped["module"](torch.ones(1, 2)).dtype == torch.float32
    set_precision(wrapped, "bf16")
    assert wrapped["module"](torch.ones(1, 2)).dtype == torch.bfloat16


def test_unknown_and_unfit_precisions_are_refused():
    with pytest.raises(InputError, match="precision 'int4' is unknown: use fp32, bf16, fp16"):
        check_precision("int4", "cpu")
    with pytest.raises(InputError, match="precision fp16 is for GPUs: use bf16 on a CPU"):
        check_precision("fp16", "cpu")
    assert check_precision("fp16", "cuda:1") == torch.float16


def test_the_command_line_has_these_choices():
    from mmproscale.cli.command_line import add_precision

    parser = make_parser("")
    add_precision(parser)
    assert [*PRECISIONS] == next(a.choices for a in parser._actions if a.dest == "precision")
