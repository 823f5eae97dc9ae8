"""Match of checkpoints with models: another model's is refused with the differences."""

import pytest
import torch
from torch import nn

from mmproscale.checkpoints.model_match import (
    check_any_match,
    check_same_model,
    compare_weights,
    drop_class_layer,
)
from mmproscale.cost.model_cost import build_network
from mmproscale.errors import InputError
from mmproscale.utils.config import load_config


class Head(nn.Module):
    def __init__(self, things: int, stuff: int) -> None:
        super().__init__()
        self.num_things_classes, self.num_stuff_classes = things, stuff
        self.cls_embed = nn.Linear(4, things + stuff + 1)


class Network(nn.Module):
    def __init__(self, things: int = 4, stuff: int = 4, width: int = 3) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))
        self.panoptic_head = Head(things, stuff)


def checkpoint_of(model: nn.Module, **meta) -> dict:
    return {"state_dict": model.state_dict(), "meta": meta}


def refusal(model: nn.Module, checkpoint: dict) -> str:
    with pytest.raises(InputError) as caught:
        check_same_model(model, checkpoint, "a.pth")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names_what_is_missing_and_what_is_too_much():
    weights = Network().state_dict()
    del weights["backbone.0.weight"], weights["backbone.0.bias"]
    weights["neck.weight"] = torch.zeros(1)
    text = refusal(Network(), {"state_dict": weights})
    assert text == (
        "a.pth is not a checkpoint of this model: 2 of 8 parameters missing "
        "(first: backbone.0.weight), 1 that the model does not have (first: neck.weight)"
    )


def test_names_another_shape():
    text = refusal(Network(width=3), checkpoint_of(Network(width=5)))
    assert "6 of another shape (first: backbone.0.weight)" in text


def test_names_other_classes():
    text = refusal(Network(80, 53), checkpoint_of(Network(8, 4)))
    assert "a.pth was trained for 12 classes, the config has 80+53" in text


def test_names_other_classes_with_the_files_metainfo():
    meta = {"dataset_meta": {"thing_classes": tuple("abcdefgh"), "stuff_classes": tuple("ijkl")}}
    text = refusal(Network(80, 53), checkpoint_of(Network(8, 4), **meta))
    assert "trained for 8+4 classes (things+stuff), the config has 80+53" in text


def test_buffers_that_are_rebuilt_do_not_count():
    weights = Network().state_dict()
    del weights["backbone.1.num_batches_tracked"]
    weights["backbone.relative_position_index"] = torch.zeros(1)
    check_same_model(Network(), {"state_dict": weights}, "a.pth")


def test_fine_tuning_needs_one_match():
    partly = {"state_dict": {"module.backbone.0.bias": torch.zeros(3), "x": torch.zeros(1)}}
    assert compare_weights(Network(), {"backbone.0.bias": torch.zeros(3)}).matched == 1
    check_any_match(Network(), partly, "a.pth")
    with pytest.raises(InputError, match=r"a\.pth has nothing to start this model from: 8 of 8"):
        check_any_match(Network(), {"state_dict": {"x": torch.zeros(1)}}, "a.pth")


@pytest.mark.parametrize(
    ("config", "head", "options"),
    [
        ("proscale_m2f_r18_camvid.py", "panoptic_head", dict(num_things_classes=1)),
        ("proscale_m2f_r50_coco-instance.py", "panoptic_head", dict(num_things_classes=2)),
        ("proscale_m2f_r18_camvid-semantic.py", "decode_head", dict(num_classes=4)),
    ],
)
def test_fine_tuning_leaves_the_class_layer_of_other_classes_out(configs, config, head, options):
    loaded = load_config(configs / config)
    model = build_network(loaded).model
    classes = options.get("num_classes") or options["num_things_classes"]
    classes += loaded.model[head].get("num_stuff_classes", 0)
    options["loss_cls"] = dict(class_weight=[1.0] * classes + [0.1])
    loaded.merge_from_dict(dict(model={head: options}))
    checkpoint = checkpoint_of(build_network(loaded).model)
    before = set(checkpoint["state_dict"])

    line = drop_class_layer(model, checkpoint, "a.pth")

    layer = f"{head}.cls_embed."
    assert before - set(checkpoint["state_dict"]) == {f"{layer}weight", f"{layer}bias"}
    assert f"a.pth was trained for {classes} classes" in line and f"({layer}*) is left out" in line
    assert compare_weights(model, checkpoint["state_dict"]).reshaped == ()


def test_a_class_layer_of_as_many_classes_stays():
    checkpoint = checkpoint_of(Network(things=5, stuff=3))
    assert drop_class_layer(Network(), checkpoint, "a.pth") is None
    assert "panoptic_head.cls_embed.weight" in checkpoint["state_dict"]


def test_the_class_layer_is_found_under_a_wrapper_too():
    weights = {f"module.{k}": v for k, v in Network(things=9).state_dict().items()}
    checkpoint = {"state_dict": weights, "meta": {}}
    assert "13 classes, this model has 8" in drop_class_layer(Network(), checkpoint, "a.pth")
    assert not any("cls_embed" in key for key in checkpoint["state_dict"])


def test_classes_of_a_decode_head_are_counted_as_one():
    models = [nn.Module(), nn.Module()]
    for model, count in zip(models, (3, 5), strict=True):
        model.decode_head = Head(0, count)
    text = refusal(models[0], checkpoint_of(models[1]))
    assert "trained for 5 classes, the config has 3: set the model's num_classes, or" in text


@pytest.mark.parametrize(
    "name, layers",
    [
        ("dino_r18_shapes", ("bbox_head.cls_branches.", "dn_query_generator.label_embedding.")),
        ("detr_r18_shapes", ("bbox_head.fc_cls.",)),
    ],
)
def test_class_layers_of_a_detector_are_left_out_in_one_line(name, layers):
    config = load_config(name)
    theirs = build_network(config).model
    config.model.bbox_head.num_classes += 2
    own = build_network(config).model
    checkpoint = checkpoint_of(theirs)
    assert "set the model's num_classes, or" in refusal(own, checkpoint)
    line = drop_class_layer(own, checkpoint, "a.pth")
    assert all(f"{layer}*" in line for layer in layers) and "left out" in line
    assert not any(key.startswith(layers) for key in checkpoint["state_dict"])
    assert compare_weights(own, checkpoint["state_dict"]).reshaped == ()
