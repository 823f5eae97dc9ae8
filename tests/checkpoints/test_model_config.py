"""Config of a checkpoint: named, or in its header; otherwise it is asked for in one line."""

from dataclasses import replace

import pytest
import torch

from mmproscale.checkpoints.foreign import for_config
from mmproscale.checkpoints.model_config import (
    building_for,
    check_data_is_known,
    config_in_header,
    is_checkpoint,
    load_config_for,
)
from mmproscale.checkpoints.weights_file import make_header, save_weights
from mmproscale.errors import InputError
from mmproscale.utils.config import load_config
from mmproscale.utils.shipped_config import ShippedConfig, describe_config

OPTION = {"model.panoptic_head.num_queries": 50}


def written(tmp_path, **changes):
    header = replace(make_header(load_config("m2f_r50_coco", OPTION), None), **changes)
    save_weights(tmp_path / "a.safetensors", {"a": torch.ones(1)}, header)
    return tmp_path / "a.safetensors"


def test_the_config_in_the_header(tmp_path):
    file = written(tmp_path)
    config = load_config_for(None, file, {"model.test_cfg.iou_thr": 0.5})
    assert config.model.panoptic_head.num_queries == 50 and config.model.test_cfg.iou_thr == 0.5
    assert config.filename.endswith("m2f_r50_coco.py")
    assert load_config_for("m2f_r50_coco", file).model.panoptic_head.num_queries == 100


def refusal(file) -> str:
    with pytest.raises(InputError) as caught:
        load_config_for(None, file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_that_do_not_name_their_config(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pth")
    assert "does not say which config it needs: name the config" in refusal(tmp_path / "a.pth")
    file = written(tmp_path, config=None, reason="a\nreason")
    assert "has no config in its header (a reason): name one" in refusal(file)
    assert "not found" in refusal(tmp_path / "none.safetensors")
    assert "is a config: name a checkpoint after it" in refusal("m2f_r50_coco")


def test_weights_of_other_data_with_as_many_classes(tmp_path):
    config = load_config("m2f_r50_coco")
    check_data_is_known(written(tmp_path, config=describe_config(config)), {})
    config.test_dataloader.dataset.ann_file = "mine.json"
    file = written(tmp_path, config=describe_config(config))
    with pytest.raises(InputError, match="is not that of m2f_r50_coco: name the config"):
        check_data_is_known(file, {})
    check_data_is_known(file, {"data_root": "mine/"})


@pytest.mark.parametrize(
    "known",
    [
        ShippedConfig("none"),
        ShippedConfig("m2f_r50_coco", {"model.backbone.type": "os.system"}),
        ShippedConfig("m2f_r50_coco", {"model.neck.depth": 1}),
    ],
)
def test_a_header_that_does_not_fit(tmp_path, known):
    file = written(tmp_path, config=known)
    assert config_in_header(file) == known
    assert refusal(file).startswith(f"{file} has a header that does not fit mmproscale")


def test_an_unknown_option_is_named(tmp_path):
    with pytest.raises(InputError, match="--cfg-options nonsense: m2f_r50_coco has no such key"):
        load_config_for(None, written(tmp_path), {"nonsense": 1})


def test_errors_of_a_model_are_the_headers_fault_only_if_it_gave_the_config():
    message = r"a\.safetensors has a header whose changes .* \(TypeError: unexpected argument\)"
    with pytest.raises(InputError, match=message), building_for("a.safetensors", None):
        raise TypeError("unexpected\nargument")
    with pytest.raises(TypeError), building_for("a.safetensors", "m2f_r50_coco"):
        raise TypeError
    with pytest.raises(InputError, match="no image"), building_for("a.safetensors", None):
        raise InputError("no image")


def test_words_that_name_weights(tmp_path):
    for word in ("hf://a/b", "a.safetensors", "a.pth", tmp_path):
        assert is_checkpoint(str(word))
    for word in (None, "m2f_r50_coco", "a.py", "mmdet::detr/a.py"):
        assert not is_checkpoint(word)


def published(tmp_path, monkeypatch, *names):
    """Write weights with PEM's keys, which some shipped configs fit."""
    monkeypatch.setattr(for_config, "fitting_configs", lambda file: names)
    keys = ("sem_seg_head.pixel_decoder.csm.weight", "sem_seg_head.predictor.query_feat.weight")
    torch.save({"model": dict.fromkeys(keys, torch.ones(1))}, tmp_path / "pem.pth")
    return tmp_path / "pem.pth"


def test_the_only_config_that_fits_published_weights(tmp_path, monkeypatch, capsys):
    file = published(tmp_path, monkeypatch, "pem_m2f_r50_ade20k")
    config = load_config_for(None, file, OPTION)
    assert capsys.readouterr().err == f"{file} fits config pem_m2f_r50_ade20k\n"
    head = config.model.panoptic_head
    assert head.num_queries == 50 and head.pixel_decoder.modulation.gate == "double_sigmoid"


@pytest.mark.parametrize(
    ("names", "hint"),
    [((), "before it"), (("m2f_r50_coco", "pem_m2f_r50_ade20k"), "one of m2f_r50_coco, pem_m2f")],
)
def test_no_config_or_several_fit_published_weights(tmp_path, monkeypatch, names, hint):
    text = refusal(published(tmp_path, monkeypatch, *names))
    assert "does not say which config it needs: name the config before it" in text and hint in text
