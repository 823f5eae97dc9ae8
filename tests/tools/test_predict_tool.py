"""tools/predict.py: bad images, files with a header, and names of the Hugging Face hub."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from helpers.hub_models import NAMES, hub_model, our_config
from helpers.loopback_hub import CARD, address_of, served, use_hub
from helpers.own_data import checked_data, make_choices
from mmengine.registry import MODELS, init_default_scope

from mmproscale.checkpoints.weights_file import make_header, read_header, save_weights
from mmproscale.own_data.config_text import new_config_text
from mmproscale.utils.config import CONFIGS, load_config

OURS = (*NAMES[1::2], *NAMES[::2])


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


@pytest.fixture
def photo(tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((60, 90, 3), 128, np.uint8))
    return tmp_path / "photo.png"


def write_own_model(tmp_path, **changes):
    """Write random weights of a model of a config for own data, with their header."""
    path = tmp_path / "mine.py"
    chosen = make_choices(checked_data("panoptic", tmp_path), "proscale_m2f_r18")
    path.write_text(new_config_text(chosen, path))
    own = load_config(path)
    init_default_scope("mmdet")
    header = make_header(
        own,
        {
            "classes": ["cow", "dog", "sky"],
            "thing_classes": ["cow", "dog"],
            "stuff_classes": ["sky"],
        },
    )
    header = replace(header, config=replace(header.config, **changes))
    save_weights(tmp_path / "mine.safetensors", MODELS.build(own.model), header)
    path.unlink()
    return tmp_path / "mine.safetensors"


def test_a_file_with_a_header_needs_no_config(run_tool, photo, tmp_path):
    weights = write_own_model(tmp_path)
    cv2.imwrite(str(tmp_path / "other.png"), np.full((50, 70, 3), 28, np.uint8))
    arguments = (weights, photo, tmp_path / "other.png", "--out", tmp_path / "out")
    status, output, error = run_tool("predict.py", *arguments, "--device", "cpu")
    assert status == 0 and "2 images are in" in output, error
    content = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    assert [category["name"] for category in content["categories"]] == ["cow", "dog", "sky"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.backbone.depth": "deep"}, "changes of the config do not fit"),
        ({"model.panoptic_head.num_queries": 7}, "is not a checkpoint of this model"),
    ],
)
def test_a_header_that_lies_is_one_line(run_tool, photo, tmp_path, changes, message):
    weights = write_own_model(tmp_path)
    header = read_header(weights)
    weights = write_own_model(tmp_path, changes=header.config.changes | changes)
    arguments = (weights, photo, "--out", tmp_path / "out", "--device", "cpu")
    status, output, error = run_tool("predict.py", *arguments)
    assert status == 2 and output == "" and message in error, error
    assert len(error.strip().splitlines()) == 1


def test_without_a_header_the_config_is_asked_for(run_tool, config, checkpoint, photo, tmp_path):
    for words, message in [
        ((checkpoint, photo), f"{checkpoint} does not say which config it needs"),
        ((config, checkpoint), f"{config} is a config: name a checkpoint after it"),
    ]:
        status, output, error = run_tool("predict.py", *words, "--out", tmp_path / "out")
        assert status == 2 and output == "" and message in error


@pytest.fixture
def hub(tmp_path):
    """A hub with a Mask2Former of transformers, and the config of one of ours like it."""
    pytest.importorskip("transformers")
    (tmp_path / "repository").mkdir()
    hub_model().float().save_pretrained(tmp_path / "repository")
    (tmp_path / "repository" / "README.md").write_text(CARD)
    config = our_config()
    config.train_dataloader.dataset.metainfo = {"classes": OURS}
    config.dump(tmp_path / "tiny.py")
    with served({"owner/tiny": tmp_path / "repository"}) as server:
        yield server


def test_a_name_of_the_hub_through_hf_endpoint(hub, photo, tmp_path):
    words = [tmp_path / "tiny.py", "hf://owner/tiny", photo, "--out", tmp_path / "out"]
    cache = {"HF_ENDPOINT": address_of(hub), "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, CONFIGS.parent / "tools/predict.py", *words],
        env=os.environ | cache,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and "1 images are in" in done.stdout, done.stderr
    lines = done.stderr.splitlines()
    assert lines[:2] == ["hf://owner/tiny: licence 'other'", "hf://owner/tiny is converted"]
    content = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    assert [category["name"] for category in content["categories"]] == list(OURS)


@pytest.mark.parametrize(
    ("name", "with_config", "message"),
    [
        ("owner/none", True, "hf://owner/none: the hub has no such model"),
        ("owner/tiny", False, "hf://owner/tiny does not say which config it needs"),
        ("owner/tiny", True, "does not fit the config's model: queries: 12 in the file, 24"),
    ],
)
def test_names_of_the_hub_that_do_not_fit(
    hub, run_tool, photo, config, tmp_path, monkeypatch, name, with_config, message
):
    use_hub(address_of(hub), tmp_path / "cache", monkeypatch)
    words = [*([config] if with_config else []), f"hf://{name}", photo]
    status, _, error = run_tool("predict.py", *words, "--out", tmp_path / "out")
    last = error.splitlines()[-1]
    assert status == 2 and last.startswith("error: ") and message in last
    assert "--partial" not in last


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
