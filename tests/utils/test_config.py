"""A config that cannot be read, or an option that nothing reads, is one clear line."""

import sys

import pytest

from mmproscale.errors import InputError
from mmproscale.utils.config import load_config


class Without:
    """In ``sys.meta_path``: one package is not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, fullname, path=None, target=None):
        if fullname == self.package:
            raise ModuleNotFoundError(f"No module named '{fullname}'", name=fullname)


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
