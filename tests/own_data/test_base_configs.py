"""Base configs by name and kind, their networks, and checkpoints that fit them."""

from pathlib import Path

import pytest
from helpers.own_data import checked_data

from mmproscale.errors import InputError
from mmproscale.own_data.base_configs import Recipe, base_name, base_names, find_base
from mmproscale.own_data.layouts import KINDS
from mmproscale.planning.candidates import (
    FRAMEWORKS,
    base_config,
    candidate_config_text,
    make_candidate,
)
from mmproscale.utils.config import CONFIGS


@pytest.mark.parametrize(
    ("kind", "stem", "recipe"),
    [
        ("panoptic", "proscale_m2f_r50_coco", Recipe(16, 1e-4, 368750, 118287)),
        ("instance", "proscale_m2f_r50_coco-instance", Recipe(16, 1e-4, 368750, 118287)),
        ("semantic", "proscale_m2f_r50_ade20k-semantic", Recipe(16, 1e-4, 160000, 20210)),
        ("boxes", "proscale_dino_r50_coco", Recipe(16, 1e-4, 88716, 118287)),
        ("boxes", "proscale_dino_r18_camvid", Recipe(2, 2e-4, 3000, 367)),
    ],
)
def test_each_kind_has_its_config_and_recipe(kind, stem, recipe):
    base = find_base(stem.rpartition("_")[0], kind)
    assert (base.path.stem, base.recipe) == (stem, recipe)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("vgg", "--base vgg has no config for semantic data; there are .*proscale_m2f_r50"),
        (
            "dino_r50",
            "--base dino_r50 is a detector's, which learns boxes and no semantic.*proscale_m2f_r50",
        ),
    ],
)
def test_unknown_bases_list_the_known_ones(name, fault):
    with pytest.raises(InputError, match=fault):
        find_base(name, "semantic")


def test_every_kind_has_small_and_large_bases():
    for kind in KINDS:
        names = base_names(kind)
        family = "dino" if kind == "boxes" else "m2f"
        for method in ("", "lite_", "proscale_"):
            assert {f"{method}{family}_{size}" for size in ("r18", "r50", "swin-t")} <= {*names}
        assert all(family in name.split("_") for name in names)


def test_a_detector_has_the_datas_classes_and_its_models_queries(tmp_path):
    base = find_base("dino_r18", "boxes")
    network = base.network(checked_data("boxes", tmp_path).facts)
    assert network.mask_head is None and network.model.bbox_head.num_classes == 2
    assert network.model.num_queries == 40  # CamVid's config has 60
    with pytest.raises(InputError, match=r"m2f_r50 has no config for boxes data; there are dino_r"):
        find_base("m2f_r50", "boxes")


def test_a_base_of_shapes_has_the_model_of_its_name():
    base = find_base("lite_m2f_r18", "panoptic")
    assert (base.path.stem, base.config.model.panoptic_head.num_queries) == (
        "lite_m2f_r18_shapes",
        50,
    )


@pytest.mark.parametrize("kind", ["panoptic", "instance", "semantic"])
def test_a_backbone_of_timm_is_named_after_the_base(kind):
    base = find_base("proscale_m2f_timm/repvit_m0_9", kind)
    assert (base.name, base.timm_model) == ("proscale_m2f_timm", "repvit_m0_9")
    assert base.config.model.backbone.model == "repvit_m0_9"
    with pytest.raises(InputError, match="proscale_m2f_r50/repvit_m0_9 has no config"):
        find_base("proscale_m2f_r50/repvit_m0_9", kind)


@pytest.mark.parametrize("base", ["proscale_m2f_r50_coco", f"{CONFIGS}/proscale_m2f_r50_coco.py"])
def test_a_base_may_be_named_with_its_dataset(base):
    assert base_name(base) == ("proscale_m2f_r50", "_coco")
    assert find_base(base, "panoptic").path.stem == "proscale_m2f_r50_coco"
    # Its recipe counts where it is for this kind of data.
    assert find_base(base, "semantic").path.stem == "proscale_m2f_r50_ade20k-semantic"
    found = find_base("proscale_m2f_r50_cityscapes", "panoptic")
    assert (found.name, found.recipe.steps) == ("proscale_m2f_r50", 90000)
    other = find_base("proscale_m2f_r50_cityscapes-semantic", "semantic")
    assert other.recipe == Recipe(16, 1e-4, 90000, 2975)


@pytest.mark.parametrize("name", ["proscale_m2f_r5O", "prosale_m2f_r50", "proscale_m2f_r50_coc"])
def test_misspelt_bases_have_a_near_name(name):
    with pytest.raises(InputError, match=r"did you mean proscale_m2f_r50\?"):
        find_base(name, "panoptic")


def write_plan(folder: Path, embedding: str, backbone: str = "r50", more: str = "") -> str:
    """Write a config as tools/plan.py does, PRO-SCALE (3,3,1)."""
    candidate = make_candidate(dict(type="pro_scale", repeats=(3, 3, 1)), embedding, backbone)
    base = base_config(CONFIGS, backbone)
    path = folder / "proscale-331.py"
    path.write_text(candidate_config_text(candidate, str(base)) + more)
    return str(path)


@pytest.mark.parametrize("kind", ["panoptic", "instance", "semantic"])
def test_a_planned_config_is_a_base_with_its_encoder(tmp_path, kind):
    base = find_base(write_plan(tmp_path, "lpe", "timm/repvit_m0_9"), kind)
    assert (base.name, base.timm_model) == ("proscale_m2f_timm", "repvit_m0_9")
    assert base.recipe == find_base("proscale_m2f_timm", kind).recipe
    head = base.config.model["decode_head" if kind == "semantic" else "panoptic_head"]
    assert head.pixel_decoder.encoder.schedule == dict(type="pro_scale", repeats=(3, 3, 1))
    embedding = base.encoder["panoptic_head.pixel_decoder.pixel_embedding"]
    assert embedding == head.pixel_decoder.pixel_embedding


def test_a_planned_detector_is_a_base_with_its_encoder(tmp_path):
    parent = str(base_config(CONFIGS, "r18", FRAMEWORKS["dino"]))
    for schedule, recalibration in (
        (dict(type="pro_scale", repeats=(3, 3, 1), levels=((64, 32), 16, 8)), dict(type="TRC")),
        (dict(type="m2f", layers=2, levels=(64, 32, 16, 8)), None),
    ):
        text = candidate_config_text(make_candidate(schedule, None), parent)
        (tmp_path / "planned.py").write_text(text)
        base = find_base(str(tmp_path / "planned.py"), "boxes")
        assert base.config.model.encoder.schedule == schedule
        assert base.encoder["recalibration"] == base.config.model.recalibration == recalibration


def test_only_a_plans_changes_are_taken_over(tmp_path):
    more = "model['panoptic_head']['pixel_decoder']['num_outs'] = 4\n"
    with pytest.raises(InputError, match="changes more than the encoder"):
        find_base(write_plan(tmp_path, "conv", more=more), "panoptic")
    (tmp_path / "own.py").write_text("model = dict(type='X')\n")
    with pytest.raises(InputError, match="inherits from no config of mmproscale for panoptic"):
        find_base(str(tmp_path / "own.py"), "panoptic")
