"""Description of an exported file: what it holds, and what is refused."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.exported_files import INFO
from mmengine.config import Config

from mmproscale.errors import InputError
from mmproscale.inference.export_info import (
    ExportInfo,
    check_types,
    is_exported,
    registered_names,
    settings_of,
)
from mmproscale.models.backbones.timm_backbone import TimmFacts
from mmproscale.utils.config import load_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_texts_give_the_same_description():
    info = replace(INFO, exits=(2, 4), frame=((64, 96), (60, 90)))
    assert ExportInfo.from_strings(info.to_strings(), "a.onnx") == info


@pytest.mark.parametrize("change", [
    {"mmproscale.kind": None}, {"mmproscale.categories": "[1"},
    {"mmproscale.settings": "__import__('os')"},
])  # fmt: skip
def test_metadata_of_another_kind_is_refused(change):
    texts = {k: v for k, v in (INFO.to_strings() | change).items() if v is not None}
    with pytest.raises(InputError, match=r"a\.onnx is not a file of `mmproscale export`"):
        ExportInfo.from_strings(texts, "a.onnx")


@pytest.mark.parametrize("name", ["os.system", "mmengine.dump", "torch.nn.Conv2d", "Nothing", 3])
def test_types_that_are_not_registered_are_refused(name):
    settings = {"model": {"type": "UniversalSegmentor", "parts": [{"type": name}]}}
    info = replace(INFO, settings=repr(settings))
    with pytest.raises(InputError, match=r"a\.onnx has settings with the unknown type"):
        info.model_config("a.onnx")


@pytest.mark.parametrize("key", ["init_cfg", "pretrained"])
def test_settings_fetch_no_weights(key):
    settings = {"model": {"type": "UniversalSegmentor", "backbone": {key: "http://a/b.pth"}}}
    with pytest.raises(InputError, match=rf"a\.onnx has settings with {key}: export"):
        replace(INFO, settings=repr(settings)).model_config("a.onnx")


@pytest.mark.slow
def test_settings_of_every_config_are_plain_and_registered():
    names, files = registered_names(), sorted(CONFIGS.glob("*.py"))
    assert len(files) > 100
    for file in files:
        config = load_config(file)
        backbone = config.model.backbone.type
        if "DDQ" in config.model.type or ("Timm" in backbone and not find_spec("timm")):
            continue  # no graph takes DDQ, and an export of a timm model has timm
        info = replace(INFO, settings=settings_of(config, photos=False))
        found = info.model_config(file)
        assert found.model.type == config.model.type
        assert "train_cfg" not in found.model and found.model.backbone.type == "mmdet.ResNet"
        check_types(dict(found), names, file)


def test_channels_of_a_backbone_are_written_out(monkeypatch):
    module = "mmproscale.models.backbones.timm_backbone"
    monkeypatch.setattr(f"{module}.is_type", lambda *_: True)
    channels = {4: 24, 8: 40, 16: 112, 32: 320}
    facts = TimmFacts(channels, channels, {}, {}, (127.0,) * 3, (128.0,) * 3)
    monkeypatch.setattr(f"{module}.timm_facts", lambda _: facts)
    config = load_config("proscale_m2f_timm-efficientnet-lite0_camvid")
    assert config.model.panoptic_head.in_channels is None
    found = replace(INFO, settings=settings_of(config, photos=False)).model_config("a.onnx")
    assert found.model.panoptic_head.in_channels == [24, 40, 112, 320]
    assert list(found.model.data_preprocessor.mean) == [127.0] * 3


def test_a_config_with_objects_is_refused():
    config = load_config("m2f_r18_shapes")
    config.model.test_cfg.threshold = Path
    with pytest.raises(InputError, match="values that are not plain"):
        settings_of(config, photos=False)


def test_photos_leave_nothing_to_the_pipeline():
    info = replace(INFO, settings=settings_of(load_config("m2f_r18_shapes"), photos=True))
    config: Config = info.model_config("a.onnx")
    steps = [step["type"] for step in config.test_dataloader.dataset.pipeline]
    assert len(steps) == 2 and "Pack" in steps[1]
    assert "mean" not in config.model.data_preprocessor


def test_names_of_exported_files():
    assert is_exported("a.onnx") and is_exported(Path("b.xml"))
    assert not is_exported("a.pt2") and not is_exported("a.pth") and not is_exported(None)
