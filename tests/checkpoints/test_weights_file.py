"""Files of weights: both forms, shared tensors, and headers, refused where they are wrong."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.checkpoints.weights_file import (
    KEY,
    WeightsHeader,
    check_header,
    check_suffix,
    class_facts,
    hash_weights,
    header_of,
    make_header,
    one_line,
    read_class_names,
    read_header,
    save_weights,
)
from mmproscale.errors import InputError
from mmproscale.utils.config import load_config
from mmproscale.utils.shipped_config import ShippedConfig

NAMES = {"classes": ("cow", "sky"), "thing_classes": ("cow",), "stuff_classes": ("sky",)}
META = {
    "CLASSES": ("cow", "sky"),
    "thing_classes": ["cow"],
    "stuff_classes": ["sky"],
    "PALETTE": [(1, 2, 3), np.array([4, 5, 6])],
    "categories": [{"id": np.int64(7), "name": "cow"}, {"id": 9, "name": "sky"}],
    "license": "secret",
}


def written(tmp_path, **changes):
    """Write a file whose header has some other items."""
    content = asdict(make_header(load_config("m2f_r50_coco"), META)) | changes
    return _file(tmp_path, json.dumps(content))


def _file(tmp_path, text):
    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors", {KEY: text})
    return tmp_path / "a.safetensors"


def test_a_header_comes_back(tmp_path):
    config = load_config("m2f_r50_coco", {"model.panoptic_head.num_queries": 50})
    header = make_header(config, META)
    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors", header.metadata())
    assert read_header(tmp_path / "a.safetensors") == header
    change = {"model.panoptic_head.num_queries": 50}
    assert header.config == ShippedConfig("m2f_r50_coco", change)
    assert header.meta["dataset_meta"] == {
        "classes": ["cow", "sky"],
        "thing_classes": ["cow"],
        "stuff_classes": ["sky"],
        "palette": [[1, 2, 3], [4, 5, 6]],
        "categories": [{"id": 7, "name": "cow"}, {"id": 9, "name": "sky"}],
    }


def test_colors_of_other_classes_are_left_out():
    assert class_facts({"classes": ("a",), "palette": [[1, 2, 3]] * 133}) == {"classes": ["a"]}
    assert class_facts(None) == {}


def test_a_config_that_can_not_be_described_leaves_a_reason():
    config = load_config("m2f_r50_coco")
    config.model.backbone.type = "mine.Backbone"
    header = make_header(config, None)
    assert header.config is None and "model.backbone.type" in header.reason


def test_files_of_others_have_no_header(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors", {"format": "pt"})
    assert read_header(tmp_path / "a.safetensors") is None


@pytest.mark.parametrize(
    ("text", "names"),
    [("('car', 'sky')", ("car", "sky")), ('["car"]', ("car",)), ("car, sky", ()), ("(1, 2)", ())],
)
def test_files_of_others_may_name_their_classes(tmp_path, text, names):
    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors", {"classes": text})
    assert read_class_names(tmp_path / "a.safetensors") == names
    meta = load_checkpoint(tmp_path / "a.safetensors")["meta"]
    assert meta.get("dataset_meta", {}).get("classes", ()) == names


CONFIG = {"name": "m2f_r50_coco", "changes": {}, "removed": []}


@pytest.mark.parametrize(
    "changes",
    [
        {"code": "import os"},
        {"config": "m2f_r50_coco"},
        {"config": CONFIG | {"name": ["m2f"]}},
        {"config": CONFIG | {"changes": [1]}},
        {"config": CONFIG | {"removed": [1]}},
        {"config": {"name": "m2f_r50_coco"}},
        {"sha256": 3},
        {"early_exit": []},
        {"dataset_meta": []},
        {"dataset_meta": {"other": 1}},
        {"dataset_meta": {"classes": "cow"}},
        {"dataset_meta": {"classes": ["cow"], "palette": [[1, 2, 3], [1, 2, 3]]}},
        {"dataset_meta": {"classes": ["cow"], "palette": [[1, 2, 300]]}},
        {"dataset_meta": {"classes": ["cow"], "palette": [[1, 2]]}},
        {"dataset_meta": {"classes": ["cow"], "categories": [{"name": "cow"}]}},
        {"dataset_meta": {"classes": ["cow"], "categories": [{"id": "1"}]}},
    ],
)
def test_a_wrong_header_is_refused_in_one_line(tmp_path, changes):
    file = written(tmp_path, **changes)
    with pytest.raises(InputError) as caught:
        read_header(file)
    assert str(caught.value).startswith(str(file)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000])
def test_text_that_is_no_header_is_refused(tmp_path, text):
    with pytest.raises(InputError, match="has a header that mmproscale did not write"):
        read_header(_file(tmp_path, text))


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(InputError, match="truncated or damaged"):
        read_header(tmp_path / "a.safetensors")


def test_the_hash_is_of_names_types_shapes_and_bytes():
    weights = {"a": torch.ones(2, 3), "b": torch.tensor(1.0).bfloat16(), "c": torch.ones(0)}
    own = hash_weights(weights)
    assert hash_weights(dict(reversed(weights.items()))) == own
    others = {"a": torch.ones(3, 2)}, {"a": torch.ones(2, 3).int()}, {"a": torch.zeros(2, 3)}
    assert all(hash_weights(weights | other) != own for other in others)
    check_header(WeightsHeader(sha256=own), weights, "x.safetensors")
    with pytest.raises(InputError, match=r"x\.safetensors does not hold the weights"):
        check_header(WeightsHeader(sha256=own), weights | {"d": torch.ones(1)}, "x.safetensors")


def test_text_from_a_file_is_shown_in_one_short_line():
    assert one_line("a\nb " + "c" * 300) == "a b " + "c" * 196


@pytest.fixture
def header():
    return make_header(load_config("m2f_r50_coco"), NAMES)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_both_forms_give_the_same_checkpoint(tmp_path, header, name):
    weights = {"a": torch.randn(2, 3), "b": torch.tensor(3)}
    save_weights(tmp_path / name, weights, header)
    loaded = load_checkpoint(tmp_path / name)
    assert all(torch.equal(loaded["state_dict"][key], weights[key]) for key in ("a", "b"))
    classes = {key: list(value) for key, value in NAMES.items()}
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
    without = header_of(tmp_path / "a.pth", {"dataset_meta": NAMES})
    assert without.config is None and without.dataset_meta == header.dataset_meta
