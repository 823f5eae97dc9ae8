"""Files of predictions hold the prediction, by kind."""

import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmproscale.datasets.formats.panoptic_png import read_png
from mmproscale.inference.prediction_files import (
    PredictionFolder,
    encode_category_png,
    encode_jpg,
    panel_of,
)
from mmproscale.inference.predictor import Prediction

CATEGORIES = [{"id": 10, "name": "disc", "isthing": 1}, {"id": 50, "name": "sand", "isthing": 0}]
CATEGORY_MAP = np.repeat([[10, 50]], 60, axis=0).repeat(45, axis=1)
ID_MAP = (1 + (CATEGORY_MAP == 50)).astype(np.int32)
SEGMENTS = [
    {"id": 1, "category_id": 10, "isthing": 1, "iscrowd": 0, "area": 2700, "bbox": [0, 0, 45, 60]},
    {"id": 2, "category_id": 50, "isthing": 0, "iscrowd": 0, "area": 2700, "bbox": [45, 0, 45, 60]},
]
INSTANCE = {
    "category_id": 10,
    "score": 0.5,
    "segmentation": mask_utils.encode(np.asfortranarray(CATEGORY_MAP == 10, np.uint8)),
    "area": 2700.0,
    "bbox": [0.0, 0.0, 45.0, 60.0],
}
BOX = {"category_id": 10, "score": 0.5, "bbox": [0.0, 0.0, 45.0, 60.0]}
RESULTS = {
    "panoptic": {"id_map": ID_MAP, "segments": SEGMENTS},
    "semantic": {"category_map": CATEGORY_MAP},
    "instance": {"instances": [INSTANCE]},
    "boxes": {"boxes": [BOX]},
}
IMAGES = [{"id": 7, "file_name": "photos/photo.png", "height": 60, "width": 90}]


def predicted(*kinds: str) -> Prediction:
    fields = {name: value for kind in kinds for name, value in RESULTS[kind].items()}
    return Prediction("photos/photo.png", np.full((60, 90, 3), 128, np.uint8), **fields)


def written(folder, *kinds: str, **options):
    results = PredictionFolder(folder, CATEGORIES, kinds=kinds, **options)
    results.add(predicted(*kinds), "photo", 7)
    assert len(results) == 1
    return results.finish()


def files_in(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_panoptic_files(tmp_path):
    folder = written(tmp_path / "out", "panoptic")
    assert files_in(folder) == ["panoptic.json", "panoptic/photo.png", "pictures/photo.jpg"]
    content = json.loads((folder / "panoptic.json").read_text())
    assert content["images"] == IMAGES and content["categories"] == CATEGORIES
    assert content["annotations"] == [
        {"image_id": 7, "file_name": "photo.png", "segments_info": SEGMENTS}
    ]
    assert (read_png(folder / "panoptic" / "photo.png") == ID_MAP).all()
    assert min(cv2.imread(str(folder / "pictures" / "photo.jpg")).shape[:2]) >= 480


def test_semantic_files(tmp_path):
    folder = written(tmp_path / "out", "semantic")
    assert files_in(folder) == ["images.json", "pictures/photo.jpg", "semantic/photo.png"]
    semantic = cv2.imread(str(folder / "semantic/photo.png"), cv2.IMREAD_UNCHANGED)
    assert semantic.dtype == np.uint8 and (semantic == CATEGORY_MAP).all()


def test_all_kinds_of_a_universal_model(tmp_path):
    folder = written(tmp_path / "out", "panoptic", "semantic", "instance")
    assert files_in(folder) == [
        "images.json",
        "instances.json",
        "panoptic.json",
        "panoptic/photo.png",
        "pictures/photo.jpg",
        "semantic/photo.png",
    ]
    (detection,) = json.loads((folder / "instances.json").read_text())
    assert detection["image_id"] == 7 and detection["category_id"] == 10
    assert (mask_utils.decode(detection["segmentation"]) == (CATEGORY_MAP == 10)).all()
    content = json.loads((folder / "images.json").read_text())
    assert content == {"images": IMAGES, "categories": CATEGORIES}


def test_boxes(tmp_path):
    folder = written(tmp_path / "out", "boxes")
    assert files_in(folder) == ["detections.json", "images.json", "pictures/photo.jpg"]
    assert json.loads((folder / "detections.json").read_text()) == [{"image_id": 7, **BOX}]


@pytest.mark.parametrize(
    ("kind", "pictures", "expected"),
    [
        ("instance", True, ["images.json", "instances.json"]),
        ("panoptic", False, ["panoptic.json", "panoptic/photo.png"]),
    ],
)
def test_results_without_pictures(tmp_path, kind, pictures, expected):
    folder = written(tmp_path / "out", kind, pictures=pictures)
    assert files_in(folder) == expected and not (folder / "pictures").exists()


def test_a_panel_shows_the_panoptic_result_or_else_the_classes():
    _, ids, segments = panel_of(predicted("panoptic", "semantic"))
    assert ids is ID_MAP and segments is SEGMENTS
    _, ids, segments = panel_of(predicted("semantic"))
    assert (ids == CATEGORY_MAP + 1).all()
    assert [(segment["id"], segment["category_id"]) for segment in segments] == [(11, 10), (51, 50)]


def test_category_ids_from_256_on_have_16_bits():
    png = encode_category_png(np.array([[3, 300]]))
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded.dtype == np.uint16 and decoded.tolist() == [[3, 300]]


def test_a_jpg_keeps_the_order_of_colours():
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[..., 0] = 255
    bgr = cv2.imdecode(np.frombuffer(encode_jpg(picture), np.uint8), cv2.IMREAD_COLOR)
    assert bgr[..., 2].min() > 200 and bgr[..., :2].max() < 50
