"""Any config's model, without a download: by path or as a package's."""

from pathlib import Path

import mmdet
import pytest
import torch
from mmengine.config import ConfigDict

from mmproscale.cost.random_model import load_any_config, model_without_weights, random_model
from mmproscale.errors import InputError

DETR = "detr/detr_r50_8xb2-150e_coco.py"


def test_a_packages_config_is_the_file_in_it():
    file = Path(mmdet.__file__).parent / ".mim/configs" / DETR
    by_name, by_path = load_any_config(f"mmdet::{DETR}"), load_any_config(str(file))
    assert by_name.model == by_path.model and by_name.model.type == "DETR"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mmdet::detr/none.py", "mmdet::detr/none.py is not a file in .*configs: name one"),
        ("nobodys::detr/none.py", "package 'nobodys' is not installed"),
        ("::none.py", "package '' is not installed"),
        ("none.py", "config none.py is not a file"),
    ],
)
def test_a_config_that_is_not_there_is_named(name, message):
    with pytest.raises(InputError, match=message):
        load_any_config(name)


def test_a_config_without_a_model_is_named(tmp_path):
    (tmp_path / "data.py").write_text("batch = 1\n")
    with pytest.raises(InputError, match=r"data\.py has no model"):
        load_any_config(str(tmp_path / "data.py"))


def test_nothing_is_to_be_fetched_at_any_depth():
    pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet50")
    model = dict(
        backbone=dict(init_cfg=pretrained, pretrained="torchvision://resnet50"),
        heads=[dict(init_cfg=dict(type="Normal", std=0.1)), dict(deep=dict(init_cfg=pretrained))],
    )
    config = ConfigDict(model=model)
    without = model_without_weights(config)
    assert without.backbone == dict(init_cfg=None, pretrained=None)
    assert without.heads[0].init_cfg.type == "Normal"
    assert without.heads[1].deep.init_cfg is None
    assert config.model.backbone.init_cfg.type == "Pretrained"  # the config stays as it is


def test_the_same_weights_each_time(configs):
    model = model_without_weights(load_any_config(str(configs / "m2f_r18_shapes.py")))
    first, second = (random_model(model).state_dict() for _ in range(2))
    assert first and all(torch.equal(first[name], second[name]) for name in first)


def test_a_type_that_nobody_knows_is_named():
    with pytest.raises(InputError, match=r"can't be built: Nobodys is not in the .* registry$"):
        random_model(ConfigDict(type="Nobodys"))
