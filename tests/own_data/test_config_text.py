"""Text of a new config: it loads, names its base files, and states what was chosen."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.own_data import checked_data, make_choices

from mmproscale.own_data.config_text import new_config_text
from mmproscale.utils.config import CONFIGS, load_config


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


def test_a_folder_moves_with_its_config(tmp_path):
    """Data, lists and weights near the config are found where the folder is."""
    project = tmp_path / "here/project"
    data = checked_data("panoptic", project / "data")
    val = replace(data.found.val, ann=project / "configs/mine_val.json")
    data = replace(data, found=replace(data.found, val=val))
    chosen = make_choices(data, load_from=str(project / "best.pth"))
    (project / "configs").mkdir(parents=True)
    path = project / "configs/mine.py"
    path.write_text(new_config_text(chosen, path))
    assert str(tmp_path) not in path.read_text() and str(CONFIGS) not in path.read_text()
    moved = project.rename(tmp_path / "there")
    config = load_config(moved / "configs/mine.py")
    assert Path(config.train_dataloader.dataset.data_root).resolve() == moved / "data"
    assert Path(config.load_from).resolve() == moved / "best.pth"
    for file in (config.val_dataloader.dataset.ann_file, config.val_evaluator.ann_file):
        assert Path(file).resolve() == moved / "configs/mine_val.json"


def test_data_far_from_the_config_is_absolute(tmp_path):
    far = tmp_path / "a/b/c"
    far.mkdir(parents=True)
    chosen = make_choices(checked_data("panoptic", tmp_path / "data"))
    assert written(chosen, far).data_root == f"{tmp_path}/data/"
    assert 'base_files(\n    "models/m2f_r50",' in (far / "mine.py").read_text()


@pytest.mark.parametrize("kind", ["panoptic", "semantic"])
def test_a_checkpoint_replaces_the_backbones_weights(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    data = checked_data(kind, tmp_path)
    config = written(make_choices(data, load_from="best.pth"), tmp_path)
    assert config.load_from == f"{tmp_path}/best.pth"
    assert config.model.backbone.init_cfg is None and config.model.backbone.norm_eval
    config = written(make_choices(data, load_from="https://example.org/best.pth"), tmp_path)
    assert config.load_from == "https://example.org/best.pth"


@pytest.mark.parametrize("options", [{}, {"from_scratch": True}, {"load_from": "best.pth"}])
@pytest.mark.parametrize("kind", ["panoptic", "instance", "semantic"])
def test_a_backbone_of_timm_keeps_its_name_and_its_normalisation(tmp_path, kind, options):
    data = checked_data(kind, tmp_path)
    chosen = make_choices(data, "proscale_m2f_timm/repvit_m0_9", **options)
    model = written(chosen, tmp_path).model
    assert model.backbone.model == "repvit_m0_9"
    assert (model.backbone.init_cfg is None) == bool(options)
    head = model.decode_head if kind == "semantic" else model.panoptic_head
    assert head.in_channels is model.data_preprocessor.mean is model.data_preprocessor.std is None


@pytest.mark.parametrize("kind", ["panoptic", "semantic"])
def test_from_scratch_the_whole_backbone_learns(tmp_path, kind):
    data = checked_data(kind, tmp_path)
    config = written(make_choices(data, from_scratch=True, amp=True), tmp_path)
    backbone = config.model.backbone
    assert backbone.init_cfg is None and not backbone.norm_eval and backbone.norm_cfg.requires_grad
    assert config.optim_wrapper.type == "AmpOptimWrapper"
    assert "backbone" not in config.optim_wrapper.paramwise_cfg.custom_keys
    assert config.optim_wrapper.clip_grad.max_norm == 1.0
    swin = written(make_choices(data, base="m2f_swin-t", from_scratch=True), tmp_path)
    assert swin.model.backbone.init_cfg is None and "norm_eval" not in swin.model.backbone


def test_settings_that_a_bases_network_needs_are_kept(tmp_path):
    pem = written(make_choices(checked_data("semantic", tmp_path), base="pem_m2f_r50"), tmp_path)
    assert pem.sync_bn == "torch"
    mvit = make_choices(checked_data("panoptic", tmp_path), base="m2f_mvitv2-t")
    assert 'custom_imports = dict(imports=["mmproscale", "mmpretrain.models"])' in new_config_text(
        mvit, tmp_path / "mine.py"
    )


def test_many_classes_and_their_weights_are_written_by_name(tmp_path):
    data = checked_data("semantic", tmp_path)
    names = tuple(f'näme "{index}" of many' for index in range(12))
    data = replace(data, facts=replace(data.facts, stuff=names, counts=(1,) * 12))
    chosen = replace(make_choices(data), class_weights=(1.0, 2.5) + (1.0,) * 10)
    config = written(chosen, tmp_path)
    assert tuple(config.classes) == names and config.model.decode_head.num_classes == 12
    assert config.model.decode_head.class_weight == {names[1]: 2.5}


def test_coco_paths_are_relative_to_the_root(tmp_path):
    config = written(make_choices(checked_data("panoptic", tmp_path)), tmp_path)
    dataset = config.train_dataloader.dataset
    assert dataset.data_root == f"{tmp_path}/" and dataset.ann_file == "train.json"
    assert dataset.data_prefix == dict(img="img/train/", seg="train_png/")
    assert config.crop_size == (320, 256) and config.image_size == (640, 480)
    sizes = [step.scale for step in config.train_pipeline + config.test_pipeline if "scale" in step]
    assert sizes == [(640, 480)] * 2
    assert config.val_evaluator == dict(
        type="mmproscale.UniversalSegMetric",
        ann_file=f"{tmp_path}/val.json",
        seg_prefix=f"{tmp_path}/train_png/",
    )


def test_data_root_moves_all_paths(tmp_path):
    written(make_choices(checked_data("panoptic", tmp_path / "data")), tmp_path)
    config = load_config(tmp_path / "mine.py", dict(data_root="/moved"))
    assert config.train_dataloader.dataset.data_root == "/moved/"
    assert config.val_evaluator.ann_file == config.test_evaluator.ann_file == "/moved/val.json"
    assert str(tmp_path / "data") not in config.pretty_text


def test_paths_outside_the_root_are_absolute(tmp_path):
    data = checked_data("instance", tmp_path)
    val = replace(data.found.val, ann=Path("/elsewhere/val.json"))
    config = written(make_choices(replace(data, found=replace(data.found, val=val))), tmp_path)
    assert config.val_dataloader.dataset.ann_file == "/elsewhere/val.json"
    assert config.val_evaluator.ann_file == "/elsewhere/val.json"
    steps = [step.type for step in config.train_pipeline]
    assert "mmproscale.LoadInstances" in steps and "FilterAnnotations" in steps
    assert config.model.test_cfg.instance_on and not config.model.data_preprocessor.pad_seg


def test_semantic_maps_have_endings_void_and_a_list(tmp_path):
    data = replace(checked_data("semantic", tmp_path), zero_is_void=True)
    val = replace(data.found.val, names=tmp_path / "val.txt")
    config = written(make_choices(replace(data, found=replace(data.found, val=val))), tmp_path)
    train, val = (config[f"{split}_dataloader"].dataset for split in ("train", "val"))
    assert train.data_prefix == dict(img_path="img/train/", seg_map_path="ann/train/")
    assert (train.img_suffix, train.seg_map_suffix) == (".jpg", ".png")
    assert "ann_file" not in train and val.ann_file == "val.txt"
    assert train.reduce_zero_label is val.reduce_zero_label is True
    assert config.crop_size == config.model.data_preprocessor.size == (256, 320)  # height, width
    assert [step.type for step in config.train_pipeline].count("RandomCrop") == 1


def test_files_in_the_root_itself_and_long_folders(tmp_path):
    data = checked_data("panoptic", tmp_path)
    train = replace(data.found.train, img=tmp_path, seg=tmp_path / ("b" * 70))
    chosen = make_choices(replace(data, found=replace(data.found, train=train)))
    text = new_config_text(chosen, tmp_path / "mine.py")
    assert 'img="./"' in text and max(map(len, text.splitlines())) <= 100


def test_boxes_are_learned_by_a_detector_with_its_own_optimizer(tmp_path):
    data = checked_data("boxes", tmp_path)
    config = written(make_choices(data, base="proscale_dino_r50"), tmp_path)
    assert config.model.type == "mmproscale.ScheduledDINO" and config.model.num_queries == 900
    assert (config.classes, config.model.bbox_head.num_classes) == (("cow", "dog"), 2)
    assert config.optim_wrapper.optimizer.weight_decay == 1e-4
    assert config.optim_wrapper.clip_grad.max_norm == 0.1
    assert config.optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult == 0.1
    assert config.val_evaluator.metric == "bbox"
    assert config.default_hooks.checkpoint.save_best == "coco/bbox_mAP"
    scratch = written(make_choices(data, base="dino_r18", from_scratch=True), tmp_path)
    assert "backbone" not in scratch.optim_wrapper.paramwise_cfg.custom_keys
    assert scratch.model.num_queries == 40 and scratch.model.backbone.init_cfg is None


def test_a_detector_has_no_more_queries_than_a_small_image_has_tokens(tmp_path):
    chosen = make_choices(checked_data("boxes", tmp_path), base="dino_r50")
    model = written(replace(chosen, image_size=(256, 192)), tmp_path).model
    tokens = 16 * 12 + 8 * 6 + 4 * 3 + 2 * 2  # of 128x96 at strides 8 to 64
    assert (model.num_queries, model.test_cfg.max_per_img) == (tokens, tokens)
