"""Text of a new config: it loads, names its base, and states what the options ask for."""

from dataclasses import replace

import pytest
from helpers.own_data import checked_data, make_choices

from mmproscale.own_data.config_text import new_config_text
from mmproscale.utils.config import load_config


def written(chosen, folder):
    path = folder / "mine.py"
    path.write_text(new_config_text(chosen, path))
    return load_config(path)


@pytest.mark.parametrize("kind", ["panoptic", "instance", "semantic"])
def test_the_schedule_is_in_mmengines_iterations(tmp_path, kind):
    config = written(make_choices(checked_data(kind, tmp_path)), tmp_path)
    assert config.train_cfg.max_iters == 2000 and config.train_cfg.val_interval == 100
    assert config.optim_wrapper.accumulative_counts == 8
    assert config.auto_scale_lr.base_batch_size == 2
    warm_up, falls = config.param_scheduler
    assert (warm_up.end, falls.milestones) == (100, [1778, 1926])


def test_the_base_is_relative_within_a_checkout_only(tmp_path):
    chosen = make_choices(checked_data("panoptic", tmp_path))
    configs = chosen.base.path.resolve().parent
    for path, reference in (
        (configs / "mine.py", "./m2f_r50_coco.py"),
        (configs.parent / "work_dirs/mine.py", "../configs/m2f_r50_coco.py"),
        (tmp_path / "mine.py", (configs / "m2f_r50_coco.py").as_posix()),
    ):
        assert f'_base_ = "{reference}"\n' in new_config_text(chosen, path)


def test_a_checkpoint_replaces_the_backbones_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = checked_data("panoptic", tmp_path)
    config = written(make_choices(data, load_from="best.pth"), tmp_path)
    assert config.load_from == str(tmp_path / "best.pth")
    assert config.model.backbone.init_cfg is None
    config = written(make_choices(data, load_from="https://example.org/best.pth"), tmp_path)
    assert config.load_from == "https://example.org/best.pth"


def test_from_scratch_the_whole_backbone_learns(tmp_path):
    chosen = make_choices(checked_data("panoptic", tmp_path), from_scratch=True, amp=True)
    config = written(chosen, tmp_path)
    assert config.model.backbone.init_cfg is None and not config.model.backbone.norm_eval
    assert config.optim_wrapper.type == "AmpOptimWrapper"
    assert "backbone" not in config.optim_wrapper.paramwise_cfg.custom_keys
    assert config.optim_wrapper.clip_grad.max_norm == 1.0


def test_many_classes_and_their_weights_are_written_by_name(tmp_path):
    data = checked_data("semantic", tmp_path)
    names = tuple(f'näme "{index}" of many' for index in range(12))
    data = replace(data, facts=replace(data.facts, stuff=names, counts=(1,) * 12))
    chosen = replace(make_choices(data), class_weights=(1.0, 2.5) + (1.0,) * 10)
    config = written(chosen, tmp_path)
    assert tuple(config.classes) == names and config.model.decode_head.num_classes == 12
    assert config.model.decode_head.class_weight == {names[1]: 2.5}
