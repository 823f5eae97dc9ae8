"""Tables of choices and classes."""

from dataclasses import replace
from pathlib import Path

from helpers.own_data import checked_data, make_choices

from mmproscale.own_data.choice_table import choice_rows, class_rows


def table(chosen) -> dict[str, list[str]]:
    heading, *rows = choice_rows(chosen)
    assert heading == ["", "chosen", "why"]
    return {name: rest for name, *rest in rows}


def test_choices_have_values_and_reasons(tmp_path):
    rows = table(make_choices(checked_data("panoptic", tmp_path)))
    assert rows["classes"][0] == "2 things, 1 stuff"
    assert rows["to train on"] == ["100 images", "train.json"]
    assert rows["image size"][0] == "640x480" and rows["crop"][0] == "320x256"
    assert "no image of 640x480 fits" in rows["crop"][1]
    assert "1.00 GiB an image (fp32)" in rows["images at once"][1]
    assert rows["accumulation"][1].startswith("2 x 1 x 8 = 16 images a step")
    # 2,000 iterations of 2 images are 40 epochs of 100 images.
    assert rows["iterations"][1] == "4,000 images, 40 epochs: at most 300 epochs for small data"
    assert rows["validation"][0] == "every 100" and rows["class weights"][0] == "1 each"


def test_what_was_asked_for_is_marked(tmp_path):
    options = dict(iterations=2000, crop=(320, 256), image_size=(640, 480), batch=16)
    rows = table(make_choices(checked_data("panoptic", tmp_path), frozen_backbone=True, **options))
    for name in ("iterations", "crop", "image size", "backbone"):
        assert rows[name][1].startswith("as you asked")
    assert "as you asked" in rows["accumulation"][1]


def test_starting_weights_and_class_weights_follow_the_options(tmp_path):
    data = checked_data("panoptic", tmp_path)
    assert table(make_choices(data))["weights"][0] == "torchvision://resnet50"
    assert table(make_choices(data, load_from="best.pth"))["weights"][0] == "best.pth"
    assert table(make_choices(data, from_scratch=True))["weights"][0] == "from scratch"
    balanced = replace(make_choices(data), class_weights=(1.0, 2.0, 1.0))
    assert table(balanced)["class weights"][0] == "balanced"
    boxes = make_choices(checked_data("boxes", tmp_path), base="dino_r50")
    assert "class weights" not in table(boxes) and table(boxes)["classes"][0] == "2"


def test_images_that_were_set_aside_are_marked(tmp_path):
    data = replace(checked_data("panoptic", tmp_path), lists={Path("val.json"): ""})
    assert "set aside by the seed" in table(make_choices(data))["to validate on"][1]


def test_classes_have_label_kind_count_and_weight(tmp_path):
    data = checked_data("panoptic", tmp_path)
    data = replace(data, facts=replace(data.facts, counts=(1234, 0, 5)))
    assert class_rows(make_choices(data)) == [
        ["label", "class", "", "segments", "weight"],
        ["0", "cow", "thing", "1,234", "1"],
        ["1", "dog", "thing", "none", "1"],
        ["2", "sky", "stuff", "5", "1"],
    ]
    rows = class_rows(replace(make_choices(checked_data("semantic", tmp_path)), class_weights=None))
    assert rows[1] == ["0", "road", "", "90", "1"]
