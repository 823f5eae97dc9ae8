"""Kinds of results: by default those that a config turns on; unsupported kinds are refused."""

import pytest

from mmproscale.errors import InputError
from mmproscale.inference.result_kinds import give_kinds, kinds_of
from mmproscale.models.config_keys import check_keys
from mmproscale.utils.config import load_config


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("m2f_r50_coco", ("panoptic",)),
        ("m2f_r50_coco-instance", ("instance",)),
        ("m2f_r50_ade20k-semantic", ("semantic",)),
    ],
)
def test_a_model_is_for_what_its_config_says(name, kinds, configs):
    config = load_config(configs / f"{name}.py")
    assert kinds_of(config) == kinds
    before = config.model.test_cfg.to_dict()
    give_kinds(config, kinds)
    assert before.items() <= config.model.test_cfg.to_dict().items()


def test_a_segmentor_gives_no_instances(configs):
    config = load_config(configs / "m2f_r50_ade20k-semantic.py")
    with pytest.raises(InputError, match="SemanticSegmentor gives only semantic results, not inst"):
        give_kinds(config, ["semantic", "instance"])


def test_a_detector_gives_only_boxes(configs):
    config = load_config(configs / "proscale_dino_r50_coco.py")
    assert kinds_of(config) == ("boxes",)
    give_kinds(config, ["boxes"])
    with pytest.raises(InputError, match="gives only boxes: leave --kinds out"):
        give_kinds(config, ["boxes", "panoptic"])


@pytest.mark.parametrize(
    ("kind", "text"),
    [("boxes", "gives masks, not boxes: ask for instance"), ("panoptik", "'panoptik' is unknown")],
)
def test_kinds_that_no_segmentor_gives(configs, kind, text):
    config = load_config(configs / "proscale_m2f_r18_shapes.py")
    with pytest.raises(InputError, match=text):
        give_kinds(config, ["panoptic", kind])


def test_given_kinds_are_turned_on_and_all_others_off(configs):
    config = load_config(configs / "proscale_m2f_r18_shapes.py")
    give_kinds(config, ["semantic", "instance"])
    check_keys(config, "a.py")
    turned_on = {kind: config.model.test_cfg[f"{kind}_on"] for kind in ("panoptic", "semantic")}
    assert turned_on == {"panoptic": False, "semantic": True}
    assert kinds_of(config) == ("semantic", "instance")


@pytest.mark.parametrize(
    ("key", "stock_type"),
    [("panoptic_fusion_head.type", "MaskFormerFusionHead"), ("type", "Mask2Former")],
)
def test_stock_parts_have_no_semantic_results(configs, key, stock_type):
    stock = load_config(configs / "proscale_m2f_r18_shapes.py", {f"model.{key}": stock_type})
    give_kinds(stock, ["panoptic"])
    with pytest.raises(InputError, match=r"semantic results need mmproscale\.UniversalSegmentor"):
        give_kinds(stock, ["semantic"])
