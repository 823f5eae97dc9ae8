"""tools/test.py with several batch sizes and tools/predict.py agree on images of mixed sizes."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.mixed_batches import make_results_differ
from mmengine.registry import MODELS, init_default_scope

from mmproscale.datasets.formats.panoptic_png import encode_png, read_png
from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes
from mmproscale.utils.config import load_config

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "proscale_m2f_r18_shapes.py"
SIZES = [(64, 64), (64, 40), (30, 64), (64, 40), (64, 64)]
# Untrained queries have low scores: only these thresholds keep any result.
OPTIONS = [
    "model.test_cfg.object_mask_thr=0.0",
    "model.test_cfg.iou_thr=0.0",
]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    """Shapes whose validation images are cut to several sizes."""
    root = tmp_path_factory.mktemp("data") / "shapes"
    make_shapes(root, ShapesSpec(train=1, val=len(SIZES), size=64))
    file = root / "annotations" / "panoptic_val.json"
    content = json.loads(file.read_text())
    for image, annotation, size in zip(
        content["images"], content["annotations"], SIZES, strict=True
    ):
        cut(root, image, annotation, *size)
    file.write_text(json.dumps(content))
    return root


def cut(root: Path, image: dict, annotation: dict, height: int, width: int) -> None:
    photo, png = root / "val" / image["file_name"], root / "annotations/panoptic_val"
    cv2.imwrite(str(photo), cv2.imread(str(photo))[:height, :width])
    ids = read_png(png / annotation["file_name"])[:height, :width]
    (png / annotation["file_name"]).write_bytes(encode_png(ids))
    image.update(height=height, width=width)
    kept = [segment for segment in annotation["segments_info"] if segment["id"] in ids]
    for segment in kept:
        rows, columns = np.nonzero(ids == segment["id"])
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        segment.update(area=len(rows), bbox=[int(side) for side in box])
    annotation["segments_info"] = kept


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    init_default_scope("mmdet")
    model = MODELS.build(load_config(CONFIG).model)
    model.init_weights()
    make_results_differ(model.eval())
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {}}, path)
    return path


def test_all_agree(run_tool, shapes, checkpoint, tmp_path):
    figures = {}
    for size in (1, 3):
        loader = [f"test_dataloader.{key}" for key in ("num_workers=0", "persistent_workers=False")]
        options = [f"data_root={shapes}", *loader, f"test_dataloader.batch_size={size}", *OPTIONS]
        out = tmp_path / str(size)
        files = "--work-dir", out, "--out", out / "kept"
        status, _, error = run_tool(
            "test.py", CONFIG, checkpoint, *files, "--cfg-options", *options
        )
        assert status == 0, error
        figures[size] = json.loads((out / "metrics.json").read_text())["all"]
    assert figures[3] == pytest.approx(figures[1], abs=1e-3, nan_ok=True)

    arguments = shapes / "val", "--out", tmp_path / "predicted", "--cfg-options", *OPTIONS
    status, _, error = run_tool("predict.py", CONFIG, checkpoint, *arguments)
    assert status == 0, error
    equal = total = 0
    folders = [tmp_path / "1/kept.panoptic", tmp_path / "3/kept.panoptic"]
    for png in sorted((tmp_path / "predicted" / "panoptic").glob("*.png")):
        expected = read_png(png)
        assert len(np.unique(expected)) > 2
        for folder in folders:
            equal += (read_png(folder / png.name) == expected).sum()
            total += expected.size
    assert total == 2 * sum(height * width for height, width in SIZES)
    assert equal / total >= 0.9999
