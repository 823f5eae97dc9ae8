"""mmdet's and mmseg's inferencers with our configs."""

import numpy as np
import pytest

import mmproscale  # noqa: F401
from mmproscale.utils.config import load_config

IMAGE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["proscale_m2f_r18_shapes", "proscale_dino_r18_shapes"])
def test_mmdets_inferencer(name):
    from mmdet.apis import DetInferencer

    inferencer = DetInferencer(load_config(name), device="cpu", show_progress=False)
    (found,) = inferencer(IMAGE, no_save_vis=True)["predictions"]
    assert {"panoptic_seg"} <= found.keys() or {"bboxes", "labels", "scores"} <= found.keys()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mmsegs_inferencer():
    from mmseg.apis import MMSegInferencer

    config = load_config("proscale_m2f_r18_camvid-semantic")
    inferencer = MMSegInferencer(config, device="cpu")
    found = inferencer(IMAGE, show=False)["predictions"]
    assert np.asarray(found).shape == (48, 64)
