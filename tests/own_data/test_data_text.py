"""Text of a new config's data: paths, sizes and metric of each kind."""

from dataclasses import replace
from pathlib import Path

from helpers.own_data import checked_data, make_choices

from mmproscale.own_data.data_text import data_text


def loaded(chosen) -> dict:
    names = dict(things=("cow", "dog"), stuff=("sky",), classes=("road", "tree", "car"))
    exec(data_text(chosen), names)
    return names


def test_coco_paths_are_relative_to_the_root(tmp_path):
    content = loaded(make_choices(checked_data("panoptic", tmp_path)))
    dataset = content["train_dataloader"]["dataset"]
    assert dataset["data_root"] == f"{tmp_path}/" and dataset["ann_file"] == "train.json"
    assert dataset["data_prefix"] == dict(img="img/train/", seg="train_png/")
    assert content["crop_size"] == (320, 256) and content["image_size"] == (640, 480)
    metric = content["val_evaluator"]
    assert metric["type"] == "mmproscale.UniversalSegMetric"
    assert metric["ann_file"] == f"{tmp_path}/val.json"
    assert metric["seg_prefix"] == f"{tmp_path}/train_png/"


def test_paths_outside_the_root_are_absolute(tmp_path):
    data = checked_data("instance", tmp_path)
    val = replace(data.found.val, ann=Path("/elsewhere/val.json"))
    content = loaded(make_choices(replace(data, found=replace(data.found, val=val))))
    assert content["val_dataloader"]["dataset"]["ann_file"] == "/elsewhere/val.json"
    assert content["val_evaluator"]["ann_file"] == "/elsewhere/val.json"
    steps = [step["type"] for step in content["train_pipeline"]]
    assert "mmproscale.LoadInstances" in steps and "FilterAnnotations" in steps


def test_semantic_maps_have_endings_void_and_a_list(tmp_path):
    data = replace(checked_data("semantic", tmp_path), zero_is_void=True)
    val = replace(data.found.val, names=tmp_path / "val.txt")
    content = loaded(make_choices(replace(data, found=replace(data.found, val=val))))
    train, val = (content[f"{split}_dataloader"]["dataset"] for split in ("train", "val"))
    assert train["data_prefix"] == dict(img_path="img/train/", seg_map_path="ann/train/")
    assert (train["img_suffix"], train["seg_map_suffix"]) == (".jpg", ".png")
    assert "ann_file" not in train and val["ann_file"] == "val.txt"
    assert train["reduce_zero_label"] is val["reduce_zero_label"] is True
    assert content["crop_size"] == (256, 320)  # height, width


def test_long_folders_take_a_line_each(tmp_path):
    root = tmp_path / "data"
    data = checked_data("panoptic", root)
    train = replace(data.found.train, img=root / ("a" * 50), seg=root / ("b" * 50))
    text = data_text(make_choices(replace(data, found=replace(data.found, train=train))))
    assert max(map(len, text.splitlines())) <= 100
    assert f'            img="{"a" * 50}/",\n            seg="{"b" * 50}/",\n' in text
