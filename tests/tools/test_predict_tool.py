"""tools/predict.py: images that can't be read are reported after all others are written."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mmproscale.utils.config import load_config


@pytest.fixture
def config(configs):
    return configs / "proscale_m2f_r18_shapes.py"


@pytest.fixture
def checkpoint(config, tmp_path):
    init_default_scope("mmdet")
    model = MODELS.build(load_config(config).model)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, tmp_path / "random.pth")
    return tmp_path / "random.pth"


def test_goes_on_after_a_bad_image(run_tool, config, checkpoint, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "bad.png").write_text("no image")
    cv2.imwrite(str(photos / "photo.png"), np.full((60, 90, 3), 128, np.uint8))
    status, output, error = run_tool(
        "predict.py", config, checkpoint, photos, "--out", tmp_path / "out", "--device", "cpu"
    )
    assert status == 2 and "1 of 2 images are in" in output
    last = error.strip().splitlines()[-1]
    assert last.startswith("error: 1 of 2 images failed; the first: ") and "bad.png" in last
    assert [path.name for path in (tmp_path / "out" / "panoptic").iterdir()] == ["photo.png"]
    content = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    assert len(content["annotations"]) == 1


def test_a_single_bad_image_is_reported_by_its_own_error(run_tool, config, checkpoint, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    arguments = (config, checkpoint, tmp_path / "bad.png", "--out", tmp_path / "out")
    status, output, error = run_tool("predict.py", *arguments, "--device", "cpu")
    assert status == 2 and output == ""
    assert "bad.png" in error and "images failed" not in error
    assert not (tmp_path / "out" / "panoptic.json").exists()
