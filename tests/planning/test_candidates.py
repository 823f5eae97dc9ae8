"""Names, files and configs of candidates."""

import ast

import pytest
from helpers.plan_candidates import M2F, THREE_STAGES, boxes, growth

from mmproscale.errors import InputError
from mmproscale.planning.candidates import base_config, candidate_config_text, make_candidate
from mmproscale.planning.published import CONV, LPE
from mmproscale.utils.config import load_config


def test_a_backbone_of_timm_is_named_in_the_config(configs, tmp_path):
    name = "timm/convnext_tiny.in12k"
    candidate = make_candidate(dict(type="m2f", layers=2), LPE, name)
    base = base_config(configs, name)
    assert base.name == "proscale_m2f_timm_coco.py"
    (tmp_path / "a.py").write_text(candidate_config_text(candidate, str(base)))
    model = load_config(tmp_path / "a.py").model
    assert model.backbone.model == "convnext_tiny.in12k"
    assert model.panoptic_head.pixel_decoder.encoder.schedule.layers == 2


def test_updates_count_the_layers_of_each_level():
    assert growth(1, 2, 3).updates == (6, 5, 3)
    assert make_candidate(dict(type="lite", coarse_layers=5), LPE).updates == (6, 6, 1)
    assert growth(1, 1, 3).mean_updates == pytest.approx(60 ** (1 / 3))


def test_written_config_loads_with_its_base(configs, tmp_path):
    text = candidate_config_text(
        growth(1, 2, 1, embedding=CONV), str(configs / "proscale_m2f_r50_coco.py")
    )
    ast.parse(text)
    (tmp_path / "mine.py").write_text(text)
    decoder = load_config(tmp_path / "mine.py").model.panoptic_head.pixel_decoder
    assert decoder.encoder.schedule == dict(type="pro_scale", repeats=(1, 2, 1))
    assert decoder.pixel_embedding.type == "ConvPixelEmbedding"
    assert decoder.encoder.layer_cfg.ffn_cfg.feedforward_channels == 1024


def test_file_names_have_the_schedules_numbers():
    assert growth(3, 3, 1).file_stem == "proscale-331-lpe"
    assert M2F.file_stem == "m2f-6-conv"
    assert make_candidate(dict(type="lite", coarse_layers=5), LPE).file_stem == "lite-5-lpe"


def test_an_unknown_backbone_lists_those_that_exist(configs):
    with pytest.raises(InputError, match=r"--backbone vgg is not among .*r50.*swin-t"):
        base_config(configs, "vgg")


def test_a_detectors_config_states_its_recalibration(configs, tmp_path):
    base = str(configs / "proscale_dino_r50_coco.py")
    for one, recalibration in (
        (boxes("pro_scale", repeats=(1, 2, 1), levels=THREE_STAGES), dict(type="TRC")),
        (boxes("m2f", layers=4), None),
    ):
        (tmp_path / "mine.py").write_text(candidate_config_text(one, base))
        model = load_config(tmp_path / "mine.py").model
        assert model.recalibration == recalibration
        assert model.encoder.schedule == dict(one.config)
