"""Published weights are read from files and folders, and faults are one line."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmproscale.checkpoints.foreign.reading import read_foreign
from mmproscale.errors import InputError

KEYS = (
    "model.pixel_level_module.decoder.input_projections.0.0.weight",
    "model.transformer_module.level_embed.weight",
    "class_predictor.bias",
)
WEIGHTS = {key: torch.arange(float(i + 1)) for i, key in enumerate(KEYS)}
LABELS = {"0": "sky", "1": "car"}


def refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        read_foreign(path)
    text = str(caught.value)
    assert "\n" not in text and text.startswith(str(path))
    return text


def assert_read(path, classes=("sky", "car")):
    file = read_foreign(path)
    assert file.kind == "huggingface-mask2former" and file.classes == classes
    assert all(torch.equal(file.weights[key], value) for key, value in WEIGHTS.items())
    return file


@pytest.fixture
def folder(tmp_path):
    """A folder with config.json and no weights yet."""
    path = tmp_path / "hub"
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"id2label": LABELS, "num_queries": 100}))
    return path


def shards(folder, suffix="safetensors", **changes):
    """Write each weight in a file of its own; `changes` are of the index."""
    named = {}
    for number, (key, value) in enumerate(WEIGHTS.items()):
        named[key] = f"model-{number}-of-3.{suffix}"
        write = save_file if suffix == "safetensors" else torch.save
        write({key: value}, folder / named[key])
    start = "model.safetensors" if suffix == "safetensors" else "pytorch_model.bin"
    (folder / f"{start}.index.json").write_text(json.dumps({"weight_map": named} | changes))
    return folder / f"{start}.index.json"


def test_a_folder_with_one_file(folder):
    save_file(WEIGHTS, folder / "model.safetensors")
    torch.save({KEYS[0]: torch.zeros(1)}, folder / "pytorch_model.bin")
    assert assert_read(folder).config["num_queries"] == 100


def test_a_file_takes_the_config_of_its_folder(folder):
    torch.save(WEIGHTS, folder / "pytorch_model.bin")
    assert_read(folder / "pytorch_model.bin")
    assert_read(folder)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_several_files_with_their_index(folder, suffix):
    shards(folder, suffix)
    assert_read(folder)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ({"0": "LABEL_0", "1": "LABEL_1"}, None),
        ({}, None),
        ({"a": "b"}, None),
        ({"2": "car", "0": "sky"}, ("sky", None, "car")),
    ],
)
def test_labels(folder, labels, classes):
    (folder / "config.json").write_text(json.dumps({"id2label": labels}))
    save_file(WEIGHTS, folder / "model.safetensors")
    assert_read(folder, classes)


def test_faults_of_a_folder(folder):
    assert "has no weights: none of model.safetensors, " in refusal(folder)
    index = shards(folder, weight_map={KEYS[0]: "../model.safetensors"})
    with pytest.raises(InputError, match=r"index\.json names a file outside its folder, '\.\./"):
        read_foreign(folder)
    index.write_text(json.dumps({"weight_map": {"x.weight": "model-0-of-3.safetensors"}}))
    with pytest.raises(InputError, match=r"names 1 weights that its files lack \(first: x\.weight"):
        read_foreign(folder)
    index.write_text("{}")
    with pytest.raises(InputError, match="has no weight_map"):
        read_foreign(folder)
    shards(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(InputError, match=r"config\.json is not a JSON object"):
        read_foreign(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        read_foreign(folder)


def test_a_shard_that_is_missing(folder):
    shards(folder)
    (folder / "model-1-of-3.safetensors").unlink()
    with pytest.raises(InputError, match=r"model-1-of-3\.safetensors not found"):
        read_foreign(folder)


def test_detectron2s_pickle(tmp_path):
    weights = {"sem_seg_head.predictor.query_feat.weight": np.ones((2, 3), np.float32)}
    file = tmp_path / "model_final.pkl"
    file.write_bytes(pickle.dumps({"model": weights, "__author__": "them"}))
    read = read_foreign(file)
    assert read.kind == "detectron2-mask2former" and read.classes is None
    assert read.weights["sem_seg_head.predictor.query_feat.weight"].tolist() == [[1] * 3] * 2


def test_our_checkpoints_carry_their_classes(tmp_path):
    file = tmp_path / "a.pth"
    meta = {"dataset_meta": {"CLASSES": ("car", "sky")}}
    weights = {"module.panoptic_head.cls_embed.bias": torch.zeros(3)}
    torch.save({"state_dict": weights, "meta": meta}, file)
    read = read_foreign(file)
    assert read.kind == "mmdet" and read.classes == ("car", "sky")
    assert list(read.weights) == ["panoptic_head.cls_embed.bias"]


def test_what_holds_no_weights(tmp_path):
    for number, content in enumerate([{"epoch": 3}, [1], {"model": {"a": 1}}]):
        torch.save(content, tmp_path / f"{number}.pth")
        assert "holds no weights" in refusal(tmp_path / f"{number}.pth")
    assert "not found" in refusal(tmp_path / "none.pth")
