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
    assert status == 3 and "1 of 2 images are in" in output
    last = error.strip().splitlines()[-1]
    assert last.startswith("error: ") and "bad.png" in last
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


def test_lists_shards_and_resume(run_tool, config, checkpoint, tmp_path):
    for index in range(5):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((40, 50, 3), 50 * index, np.uint8))
    (tmp_path / "list.txt").write_text("".join(f"{tmp_path}/{i}.png\n" for i in range(5)))
    common = ["--device", "cpu", "--no-pictures", "--out"]
    images = (config, checkpoint, f"@{tmp_path}/list.txt")
    assert run_tool("predict.py", *images, *common, tmp_path / "whole", "--batch", 2)[0] == 0
    for number in (1, 2):
        options = (*common, tmp_path / "parts", "--shard", f"{number}/2")
        status, output, _ = run_tool("predict.py", *images, *options)
        assert status == 0 and ("the shard that ends last" in output) == (number == 1)
    whole, parts = ((tmp_path / name / "panoptic.json").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    log = tmp_path / "whole" / "results.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]))
    (tmp_path / "whole" / "panoptic.json").unlink()
    arguments = (*images, *common, tmp_path / "whole", "--batch", 2, "--resume")
    status, output, _ = run_tool("predict.py", *arguments)
    assert status == 0 and "5 of 5 images are in" in output and "2 of them from before" in output
    assert (tmp_path / "whole" / "panoptic.json").read_bytes() == whole


def test_a_video_becomes_a_video(run_tool, config, checkpoint, tmp_path):
    writer = cv2.VideoWriter(
        str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48)
    )
    for level in (0, 80, 160, 240):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    arguments = (config, checkpoint, tmp_path / "clip.avi", "--out", tmp_path / "out")
    status, _, error = run_tool("predict.py", *arguments, "--fps", 5, "--device", "cpu")
    assert status == 0, error
    content = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    assert [one["file_name"] for one in content["annotations"]] == [
        "clip-000000.png",
        "clip-000002.png",
    ]
    capture = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--shard", "3/2"], "3/2 is not K/N"),
        (["--tile", "64"], "tile=64, overlap=128"),
        (["--resume", "--score-thr", "x"], "invalid float value"),
    ],
)
def test_options_that_are_wrong(run_tool, config, checkpoint, tmp_path, options, text):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9, 3), np.uint8))
    arguments = (config, checkpoint, tmp_path / "a.png", "--out", tmp_path / "out", *options)
    status, _, error = run_tool("predict.py", *arguments)
    assert status == 2 and text in error
