"""Configs are found by path, name and package; what can't be read or is unknown is one line."""

import sys

import pytest

from mmproscale.errors import InputError
from mmproscale.utils.config import CONFIGS, find_config, load_config, require_keys


class Without:
    """Finder for ``sys.meta_path`` that makes one package look as if it were not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, fullname, path=None, target=None):
        if fullname == self.package:
            raise ModuleNotFoundError(f"No module named '{fullname}'", name=fullname)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise SystemExit(3)", "can't be read: SystemExit: 3"),
        ("model = 3", "model=3: expected a dict"),
        ("default_hooks = dict(logger=[])", r"default_hooks.logger=\[\]: expected a dict"),
        ("custom_hooks = dict(type='A')", "custom_hooks={'type': 'A'}: expected a list of dicts"),
        ("custom_hooks = ['A']", "custom_hooks.0='A': expected a dict"),
    ],
)
def test_a_config_of_another_form_is_refused(text, said, tmp_path):
    (tmp_path / "mine.py").write_text(text + "\n")
    with pytest.raises(InputError, match=f"mine.py:? {said}"):
        load_config(tmp_path / "mine.py")


def test_keys_that_a_command_needs_are_named(tmp_path):
    (tmp_path / "mine.py").write_text("model = dict(type='A')\ntrain_cfg = None\n")
    config = load_config(tmp_path / "mine.py")
    require_keys(config, "model")
    for key in ("train_cfg", "train_dataloader"):
        with pytest.raises(InputError, match=f"mine.py has no {key}, which is needed here"):
            require_keys(config, "model", key)


@pytest.mark.parametrize(
    ("module", "package", "config"),
    [
        ("mmpretrain", "mmpretrain", "proscale_m2f_mvitv2-t_coco.py"),
        ("mmseg", "mmsegmentation", "proscale_m2f_r18_camvid-semantic.py"),
    ],
)
def test_a_package_that_is_not_there_says_how_to_install_it(
    module, package, config, configs, monkeypatch
):
    for name in list(sys.modules):
        if name.partition(".")[0] == module or name == "mmproscale.datasets.loading.label_maps":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Without(module), *sys.meta_path])
    with pytest.raises(InputError) as caught:
        load_config(configs / config)
    line = str(caught.value)
    assert f"{config} needs {module}, which is not installed" in line
    assert f"`pip install {package}`" in line and "\n" not in line


def test_a_custom_import_that_fails_is_one_line(tmp_path):
    (tmp_path / "wrong.py").write_text("custom_imports = dict(imports=['mmproscale.no_such'])\n")
    with pytest.raises(InputError, match=r"wrong\.py can't import .*mmproscale\.no_such") as caught:
        load_config(tmp_path / "wrong.py")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("leaf", ["proscale_m2f_swin-t_coco.py", "proscale_m2f_r50_coco.py"])
def test_an_option_for_the_variable_that_a_backbone_came_from_is_refused(configs, leaf):
    with pytest.raises(InputError, match=r"use model\.backbone\.drop_path_rate"):
        load_config(configs / leaf, {"backbone.drop_path_rate": 0})
    config = load_config(configs / leaf, {"model.backbone.drop_path_rate": 0})
    assert config.model.backbone.drop_path_rate == 0


@pytest.mark.parametrize(
    ("name", "key", "path"),
    [
        ("eco_m2f_r18_shapes", "pixel_decoder.exit", "model.panoptic_head.pixel_decoder.exit"),
        ("eco_m2f_r18_shapes", "exit_gate", "model.panoptic_head.pixel_decoder.exit_gate"),
        ("proscale_m2f_r18_camvid-semantic", "num_queries", "model.decode_head.num_queries"),
    ],
)
def test_an_option_for_a_part_of_the_model_is_told_its_path(configs, name, key, path):
    with pytest.raises(InputError, match=f"--cfg-options {key}: .* use {path}"):
        load_config(configs / f"{name}.py", {key: 4})


@pytest.mark.parametrize(
    ("name", "key", "places"),
    [
        # A deleted variable of a base file, a pair, a list, and one that is in the config.
        ("proscale_m2f_r18_camvid", "max_iters", "train_cfg.max_iters, param_scheduler.1.end"),
        (
            "proscale_m2f_r50_coco",
            "image_size",
            "model.data_preprocessor.batch_augments.0.size, "
            "train_dataloader.dataset.pipeline.3.scale, "
            "train_dataloader.dataset.pipeline.4.crop_size",
        ),
        (
            "proscale_m2f_r18_camvid",
            "train_pipeline.3.scale",
            "train_dataloader.dataset.pipeline.3.scale",
        ),
        (
            "proscale_m2f_r50_cityscapes-semantic",
            "crop_size",
            "model.test_cfg.crop_size, train_dataloader.dataset.pipeline.3.crop_size, "
            "model.data_preprocessor.size",
        ),
    ],
)
def test_an_option_for_a_variable_names_the_keys_that_it_became(name, key, places):
    with pytest.raises(InputError) as caught:
        load_config(name, {key: 3})
    assert str(caught.value).endswith(
        f"nothing reads {key.split('.')[0]} at the top of {name}: use {places}"
    )


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("num_querys", "model.panoptic_head.num_queries"),
        ("optm_wrapper.optimizer.lr", "optim_wrapper"),
        ("max_itrs", "train_cfg.max_iters"),
    ],
)
def test_a_misspelt_key_at_the_top_has_a_near_one_at_any_depth(key, near):
    with pytest.raises(InputError, match=f"no such key that anything reads: did you mean {near}?"):
        load_config("proscale_m2f_r18_camvid", {key: 3})


NAME = "proscale_m2f_r18_shapes"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "name", [NAME, f"{NAME}.py", f"configs/{NAME}.py", f"mmproscale::{NAME}.py"]
)
def test_ours_go_by_name(name):
    assert find_config(name).samefile(CONFIGS / f"{NAME}.py")
    assert load_config(name).model.type == load_config(CONFIGS / f"{NAME}.py").model.type


def test_a_file_on_disk_comes_first(tmp_path):
    (tmp_path / f"{NAME}.py").write_text("a = 1\n")
    assert load_config(f"{NAME}.py").a == 1
    assert "model" in load_config(NAME)


def test_bases_of_a_config_elsewhere_may_be_ours(tmp_path):
    (tmp_path / "mine.py").write_text(f'_base_ = "{CONFIGS / NAME}.py"\ndata_root = "mine/"\n')
    assert load_config("mine.py").model == load_config(NAME).model


def test_another_packages_go_by_package():
    path = find_config("mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py")
    assert path.is_file() and path.parent.name == "mask2former"


@pytest.mark.parametrize(
    "name, said",
    [
        ("proscale_m2f_r18_shape", "did you mean proscale_m2f_r18_shapes"),
        (f"mine/{NAME}.py", "did you mean proscale_m2f_r18_shapes"),
        ("_base_/default_runtime.py", "nor the name of one in"),
        ("qqq.py", "name one, e.g. from configs/"),
        ("mmnothing::a.py", "package 'mmnothing' is not installed"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(name, said):
    with pytest.raises(InputError, match=said) as caught:
        find_config(name)
    assert "\n" not in str(caught.value)
