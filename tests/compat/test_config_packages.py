"""Configs of mmseg are found on either stack, by the name of its import."""

from mmengine.config import Config

from mmproscale.compat import find_configs_of_the_fork


def test_a_config_of_mmseg_is_found(tmp_path):
    find_configs_of_the_fork()
    path = tmp_path / "mine.py"
    path.write_text(
        '_base_ = "mmseg::mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py"\n'
    )
    assert Config.fromfile(path).model.decode_head.num_classes == 19
