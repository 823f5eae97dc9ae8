"""A config is found by path, by name and by package, from any folder."""

import pytest

from mmproscale.errors import InputError
from mmproscale.utils.config import load_config
from mmproscale.utils.config_files import CONFIGS, find_config

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
