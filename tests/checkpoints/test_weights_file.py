"""Files of weights: both forms, shared tensors, and weights of training checkpoints."""

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file, save_file

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.checkpoints.weights_file import (
    check_suffix,
    export_weights,
    header_of,
    save_weights,
)
from mmproscale.checkpoints.weights_header import KEY, make_header, read_header
from mmproscale.errors import InputError
from mmproscale.utils.config import load_config

META = {"classes": ("cow", "sky"), "thing_classes": ("cow",), "stuff_classes": ("sky",)}


@pytest.fixture
def header():
    return make_header(load_config("m2f_r50_coco"), META)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_both_forms_give_the_same_checkpoint(tmp_path, header, name):
    weights = {"a": torch.randn(2, 3), "b": torch.tensor(3)}
    save_weights(tmp_path / name, weights, header)
    loaded = load_checkpoint(tmp_path / name)
    assert all(torch.equal(loaded["state_dict"][key], weights[key]) for key in ("a", "b"))
    classes = {key: list(value) for key, value in META.items()}
    assert loaded["meta"]["dataset_meta"] == classes and loaded["meta"][KEY]


def test_a_model_with_shared_and_transposed_weights(tmp_path, header):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[1].weight = model[0].weight
    model[0].bias.data = torch.arange(4.0).view(2, 2)[:, 0]
    save_weights(tmp_path / "a.safetensors", model, header)
    loaded = load_checkpoint(tmp_path / "a.safetensors")["state_dict"]
    assert loaded.keys() == model.state_dict().keys()
    assert all(torch.equal(loaded[key], value) for key, value in model.state_dict().items())


def test_a_header_of_other_weights_is_refused_on_reading(tmp_path, header):
    file = tmp_path / "a.safetensors"
    save_weights(file, {"a": torch.ones(2)}, header)
    metadata = read_header(file).metadata()
    save_file(load_file(file) | {"a": torch.zeros(2)}, file, metadata)
    with pytest.raises(InputError, match="does not hold the weights that its header"):
        load_checkpoint(file)


def test_other_endings_are_refused(tmp_path, header):
    check_suffix("a.pt")
    with pytest.raises(InputError, match=r"ends in \.safetensors or \.pth"):
        save_weights(tmp_path / "a.safetensor", {}, header)


def test_headers_of_files_with_and_without_one(tmp_path, header):
    save_weights(tmp_path / "a.safetensors", {"a": torch.ones(1)}, header)
    assert header_of(tmp_path / "a.safetensors", {}).config == header.config
    without = header_of(tmp_path / "a.pth", {"dataset_meta": META})
    assert without.config is None and without.dataset_meta == header.dataset_meta


def test_weights_of_a_training_checkpoint(tmp_path):
    content = dict(
        state_dict={"a": torch.ones(1)},
        ema_state_dict={"a": torch.zeros(1)},
        optimizer={"state": {}},
        meta={"dataset_meta": META},
    )
    torch.save(content, tmp_path / "iter_2.pth")
    out = tmp_path / "weights.safetensors"
    header = export_weights(tmp_path / "iter_2.pth", out, load_config("m2f_r50_coco"))
    assert header.config.name == "m2f_r50_coco"
    assert load_file(out) == {"a": torch.ones(1)}
    assert export_weights(tmp_path / "iter_2.pth", out, Config()).reason
