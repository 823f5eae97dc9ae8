"""Weights are floating point, finite and dense; they fit the model's types; names are names."""

import pytest
import torch
from helpers.checkpoint_files import WEIGHTS, refusal, saved
from helpers.toy_training import ToyModel
from mmengine.runner import load_checkpoint

from mmproscale.checkpoints.any_source import load_model_weights
from mmproscale.checkpoints.weight_check import check_types, check_weights, fits_exactly, is_finite
from mmproscale.errors import InputError


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, torch.float8_e4m3fn, torch.uint16])
def test_types_that_no_model_has(tmp_path, dtype):
    file = saved(tmp_path, {"state_dict": {"a": torch.ones(2).to(dtype)}})
    assert f"state_dict['a'] is of type {str(dtype)[6:]}, which no model here has" in refusal(file)


@pytest.mark.parametrize("name", ["weight", "layer.bias", "norm.running_var"])
def test_whole_numbers_as_weights(tmp_path, name):
    file = saved(tmp_path, {"state_dict": {name: torch.ones(2, dtype=torch.int64)}})
    assert "is of type int64, and weights are floating point" in refusal(file)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
@pytest.mark.parametrize("key", ["state_dict", "ema_state_dict"])
def test_numbers_that_are_not_finite(tmp_path, value, key):
    broken = {"a": torch.ones(2), "b": torch.tensor([1, value], dtype=torch.float64)}
    text = refusal(saved(tmp_path, {"state_dict": WEIGHTS} | {key: broken}))
    assert f"1 of 2 weights of {key} are not finite (first: b): use a checkpoint" in text


def test_finite_numbers_whose_sum_is_not_are_finite():
    assert is_finite(torch.full((4,), 3e38))
    assert is_finite(torch.full((10**5,), 60000, dtype=torch.float16))
    assert not is_finite(torch.tensor([3e38, 3e38, float("-inf")]))


def test_infinite_anchors_of_rt_detr_pass(tmp_path):
    check_weights({"decoder.anchors": torch.tensor([1, float("inf")])}, "file")


def test_views_that_overlap_are_not_gone_through():
    storage = torch.zeros(100)
    weights = {str(i): storage[i:] for i in range(50)}
    with pytest.raises(InputError, match="the weights of state_dict overlap"):
        check_weights(weights, "file")
    check_weights({str(i): storage for i in range(50)}, "file")  # tied weights


@pytest.mark.parametrize("value", [None, [1.0], "a"])
def test_weights_that_are_no_tensors(tmp_path, value):
    assert "no tensor" in refusal(saved(tmp_path, {"state_dict": {**WEIGHTS, "a": value}}))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_narrower_types_are_widened(tmp_path, kind):
    weights = {key: w.to(kind) for key, w in ToyModel().state_dict().items()}
    model = ToyModel()
    load_model_weights(model, saved(tmp_path, {"state_dict": weights}))
    assert torch.equal(model.linear.weight, weights["linear.weight"].float())


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        (torch.float64, 0.5, True),
        (torch.float64, 0.1, False),
        (torch.int64, 1, False),
        (torch.bool, 1, False),
        (torch.complex64, 1, False),
    ],
)
def test_only_exact_casts_fit(tmp_path, kind, value, fits):
    weight = torch.full((1, 2), value).to(kind)
    if kind is torch.float64:
        weight.fill_(value)
    assert fits_exactly(weight, torch.float32) == fits
    if not fits:
        with pytest.raises(InputError, match="its values would change; convert the file to float"):
            check_types({"a": torch.ones(1, 2)}, {"a": weight}, "file")


def test_types_are_checked_wherever_mmengine_loads(tmp_path):
    weights = {key: w.double() + 1e-12 for key, w in ToyModel().state_dict().items()}
    file = saved(tmp_path, {"state_dict": weights})
    with pytest.raises(InputError, match=r"checkpoint\.pth: 'linear\.weight' is of type float64"):
        load_checkpoint(ToyModel(), str(file))


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ([1], r"meta is \[1\], and must be a dict"),
        ({"dataset_meta": 5}, "meta.dataset_meta is 5"),
        ({"dataset_meta": {3: 4}}, "names as keys"),
        ({"dataset_meta": {"classes": "abc"}}, "dataset_meta.classes is 'abc', and must be a list"),
        ({"dataset_meta": {"CLASSES": [1]}}, r"dataset_meta.CLASSES is \[1\]"),
        ({"dataset_meta": {"palette": [(1, 2)]}}, "a list of colors"),
        ({"dataset_meta": {"categories": [{"id": "a"}]}}, "a list of categories"),
    ],
)
def test_metadata_of_another_form(tmp_path, meta, message):
    import re

    assert re.search(message, refusal(saved(tmp_path, {"state_dict": WEIGHTS, "meta": meta})))
