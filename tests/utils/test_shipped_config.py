"""A config as a shipped config and plain changes: described, restored, and refused."""

import json
from dataclasses import replace

import pytest
from helpers.own_data import checked_data, make_choices
from mmengine.config import Config

from mmproscale.errors import InputError
from mmproscale.own_data.base_configs import find_base
from mmproscale.own_data.config_text import new_config_text
from mmproscale.planning.candidates import (
    FRAMEWORKS,
    base_config,
    candidate_config_text,
    make_candidate,
)
from mmproscale.utils.config import CONFIGS, load_config
from mmproscale.utils.shipped_config import (
    TRAINING_ONLY,
    NotPlainError,
    ShippedConfig,
    describe_config,
    restore_config,
)


def own_config(tmp_path, kind="panoptic", base="m2f_r50", **options) -> Config:
    path = tmp_path / "mine.py"
    chosen = make_choices(checked_data(kind, tmp_path), base, **options)
    path.write_text(new_config_text(chosen, path))
    return load_config(path)


def through_json(known: ShippedConfig) -> ShippedConfig:
    return ShippedConfig(known.name, json.loads(json.dumps(known.changes)), known.removed)


def needed(config: Config) -> str:
    """Everything but what serves training only; tuples of sizes are told apart from lists."""

    def stripped(value):
        if isinstance(value, dict):
            return {k: stripped(v) for k, v in sorted(value.items()) if k not in TRAINING_ONLY}
        if isinstance(value, (list, tuple)):
            return type(value)(stripped(item) for item in value)
        return value

    pipeline = config.test_dataloader.dataset.pipeline
    return repr((stripped(config.model.to_dict()), stripped(list(pipeline))))


@pytest.mark.parametrize("name", ["proscale_m2f_r50_coco", "lite_m2f_r50_ade20k-semantic"])
def test_a_shipped_config_is_its_name(name):
    assert describe_config(load_config(name)) == ShippedConfig(name)


@pytest.mark.parametrize("kind", ["panoptic", "instance", "semantic"])
@pytest.mark.parametrize("base", ["m2f_r50", "proscale_m2f_swin-t"])
@pytest.mark.parametrize("from_scratch", [False, True])
def test_a_config_for_own_data_comes_back(tmp_path, kind, base, from_scratch):
    config = own_config(tmp_path, kind, base, from_scratch=from_scratch)
    known = describe_config(config)
    assert known.name.startswith(f"{base}_") and known.changes
    restored = restore_config(through_json(known))
    assert restored.model.get("init_cfg") is None
    assert needed(restored) == needed(config)


@pytest.mark.parametrize(
    ("framework", "embedding", "schedule"),
    [
        ("m2f", "lpe", dict(type="pro_scale", repeats=(3, 3, 1))),
        ("m2f", "conv", dict(type="pro_scale", repeats=(3, 3, 1))),
        ("m2f", "lpe", dict(type="lite", coarse_layers=3)),
        ("dino", None, dict(type="m2f", layers=2, levels=(64, 32, 16, 8))),
    ],
)
def test_a_planned_encoder_on_own_data_comes_back(tmp_path, framework, embedding, schedule):
    parent = base_config(CONFIGS, "r18", FRAMEWORKS[framework])
    text = candidate_config_text(make_candidate(schedule, embedding), str(parent))
    (tmp_path / "plan.py").write_text(text)
    kind = "panoptic" if embedding else "boxes"
    base, path = find_base(str(tmp_path / "plan.py"), kind), tmp_path / "mine.py"
    chosen = make_choices(checked_data(kind, tmp_path), base.name, from_scratch=True)
    path.write_text(new_config_text(replace(chosen, base=base), path))
    config = load_config(path)
    known = describe_config(config)
    assert known.own_data
    assert needed(restore_config(through_json(known))) == needed(config)


def test_class_weights_by_name_come_back(tmp_path):
    config = own_config(tmp_path, "semantic")
    config.model.decode_head.class_weight = {"näme 1": 2.5, "car": 4.0}
    assert needed(restore_config(through_json(describe_config(config)))) == needed(config)


def test_options_and_removed_keys_come_back():
    options = {"model.panoptic_head.num_queries": 50, "model.test_cfg.iou_thr": 0.5}
    config = load_config("m2f_r50_coco", options)
    del config.model.panoptic_head["enforce_decoder_input_project"]
    config.test_dataloader.dataset.pipeline[1].scale = (640, 480)
    known = describe_config(config)
    assert known.name == "m2f_r50_coco" and len(known.changes) == 3
    assert known.removed == ("model.panoptic_head.enforce_decoder_input_project",)
    restored = restore_config(through_json(known))
    assert needed(restored) == needed(config)
    assert restored.test_dataloader.dataset.pipeline[1].scale == (640, 480)


def test_a_config_that_inherits_from_a_shipped_one(tmp_path):
    path = tmp_path / "finer.py"
    base = (CONFIGS / "proscale_m2f_r50_coco.py").as_posix()
    path.write_text(f'_base_ = "{base}"\nmodel = dict(panoptic_head=dict(num_queries=200))\n')
    known = describe_config(load_config(path))
    assert known == ShippedConfig("proscale_m2f_r50_coco", {"model.panoptic_head.num_queries": 200})


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("backbone", dict(type="mmdet.SwinTransformer")),
        ("panoptic_head.pixel_decoder.encoder.schedule", dict(type="os.system")),
        ("backbone.plugins", [dict(type="ContextBlock")]),
        ("backbone.depth", {50}),
        ("test_cfg.iou_thr", float("nan")),
    ],
)
def test_a_change_that_is_not_plain_is_not_described(place, value):
    config = load_config("m2f_r50_coco")
    *parents, key = place.split(".")
    node = config.model
    for parent in parents:
        node = node[parent]
    node[key] = value
    with pytest.raises(NotPlainError, match=place.split(".")[0]):
        describe_config(config)


@pytest.mark.parametrize("missing", ["model", "test_dataloader"])
def test_a_config_without_model_or_test_pipeline_is_not_described(missing):
    config = load_config("m2f_r50_coco")
    config.pop(missing)
    with pytest.raises(NotPlainError, match="it has no"):
        describe_config(config)


def test_a_config_of_another_package_is_not_described():
    with pytest.raises(NotPlainError, match="inherits from no config"):
        describe_config(load_config("mmdet::detr/detr_r50_8xb2-150e_coco.py"))


@pytest.mark.parametrize(
    "place",
    [
        "model.type",
        "model.backbone.init_cfg.checkpoint",
        "model.backbone.pretrained",
        "model.backbone._scope_",
    ],
)
def test_types_and_files_can_not_be_changed(place):
    for known in (ShippedConfig("m2f_r50_coco", {place: "x"}), _removing(place)):
        with pytest.raises(NotPlainError, match="not a plain value"):
            restore_config(known)


def test_a_value_with_a_type_is_refused():
    change = {"model.backbone.plugins": [{"cfg": {"type": "ContextBlock"}}]}
    with pytest.raises(NotPlainError, match=r"plugins\.0\.cfg\.type"):
        restore_config(ShippedConfig("m2f_r50_coco", change))


@pytest.mark.parametrize("name", ["../m2f_r50_coco", "m2f_r50_coco.py", "mmdet::detr/x.py", ""])
def test_only_shipped_names_are_known(name):
    with pytest.raises(InputError, match="is not one of this mmproscale"):
        restore_config(ShippedConfig(name))


@pytest.mark.parametrize(
    "place",
    ["model", "train_dataloader.batch_size", "model.neck.depth", "test_pipeline.9.scale", ""],
)
def test_places_that_the_config_lacks_are_refused(place):
    for known in (ShippedConfig("m2f_r50_coco", {place: 1}), _removing(place)):
        with pytest.raises(InputError, match="has no"):
            restore_config(known)


def _removing(place: str) -> ShippedConfig:
    return ShippedConfig("m2f_r50_coco", {}, (place,))
