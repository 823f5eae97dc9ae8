"""Figures of a proof: equal pixels and boxes, PQ of both sides, what is refused."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.exported_models import photo, small_predictor
from helpers.tiny_universal import CATEGORIES, SIZE, write_universal

from mmproscale.datasets.formats.panoptic_png import read_png
from mmproscale.errors import InputError
from mmproscale.export.proof import (
    GroundTruth,
    equal_share,
    proof_images,
    proof_lines,
    prove,
    write_proof,
)
from mmproscale.inference.image_sources import InputImage
from mmproscale.inference.results import Instances, Result, Segment


def result(**parts):
    return Result(np.zeros((4, 6, 3), np.uint8), "a", None, [], **parts)


def instances(boxes, labels, scores):
    names = ["thing"] * len(labels)
    return Instances(
        np.array(labels), names, np.array(scores), np.array(boxes, float), list(labels)
    )


def test_share_of_equal_pixels():
    first = np.zeros((4, 6), np.int32)
    second = first.copy()
    second[0, :3] = 7
    assert equal_share(result(panoptic=first), result(panoptic=first)) == 1
    assert equal_share(result(panoptic=first), result(panoptic=second)) == 21 / 24
    assert equal_share(result(semantic=first), result(semantic=second)) == 21 / 24


def test_share_of_equal_boxes():
    ours = instances([[0, 0, 10, 10], [5, 5, 9, 9], [1, 1, 2, 2]], [0, 1, 2], [0.9, 0.5, 0.01])
    moved = instances([[5, 5, 9, 9.5], [0, 0, 10, 12]], [1, 0], [0.6, 0.5])
    assert equal_share(result(instances=ours), result(instances=moved)) == 0.5
    other = instances([[0, 0, 10, 10]], [1], [0.9])
    assert equal_share(result(instances=ours), result(instances=other)) == 0


def test_pq_of_results_is_that_of_their_segments(tmp_path):
    path = write_universal(tmp_path, 2)

    class Dataset:
        ann_file, data_prefix = str(path), {"seg": str(tmp_path / "val")}

        def __len__(self):
            return 2

        def get_data_info(self, index):
            return {"img_path": str(tmp_path / f"{index}.jpg"), "img_id": index}

    truth = GroundTruth(Dataset())
    annotation = json.loads(path.read_text())["annotations"][1]
    id_map = read_png(tmp_path / "val" / "1.png").astype(np.int32)
    order = [category["id"] for category in truth.categories]
    segments = [
        Segment(s["id"], order.index(s["category_id"]), "", True, 1.0, s["area"], (0, 0, 1, 1), 0)
        for s in annotation["segments_info"]
    ]
    perfect = Result(
        np.zeros((*SIZE, 3), np.uint8), "1", tmp_path / "1.jpg", CATEGORIES,
        panoptic=id_map, segments=segments,
    )  # fmt: skip
    counts = truth.counts(perfect)
    assert counts[:, 1].sum() == len(segments) and counts[:, 2:].sum() == 0
    assert truth.counts(result(panoptic=id_map)) is None, "no path, so no annotation"


def test_the_model_against_itself(tmp_path):
    """Without a file: the figures of two equal models, and an image that one does not take."""
    predictor = small_predictor("RT", tmp_path)
    network = SimpleNamespace(file=SimpleNamespace(batch=2, info=SimpleNamespace(fused=True)))
    predictor.model.network = network
    images = [InputImage("a", pixels=photo(140, 190)), InputImage("b", pixels=photo(9, 9))]
    predictor.max_pixels = 140 * 190
    report = prove(predictor, predictor, images)
    assert (report["images"], report["refused"], report["equal"]) == (2, 0, 1.0)
    predictor.max_pixels = 100
    report = prove(predictor, predictor, images)
    assert (report["images"], report["refused"], report["pq"]) == (1, 1, None)
    predictor.max_pixels = 1
    with pytest.raises(InputError, match="there is no proof, since the file takes none"):
        prove(predictor, predictor, images)


def test_the_figures_are_written_next_to_the_file(tmp_path):
    report = {
        "images": 3, "refused": 1, "difference": {"class_logits": 2e-5}, "equal": 0.9999,
        "compared": "pixels", "pq": {"pytorch": 0.4, "exported": float("nan")},
        "ms": {"pytorch": 10.0, "exported": 5.0},
    }  # fmt: skip
    path = write_proof(tmp_path / "model.onnx", report)
    assert path.name == "model.onnx.proof.json"
    assert json.loads(path.read_text())["pq"] == {"pytorch": 0.4, "exported": None}
    text = "\n".join(proof_lines(report))
    assert "3 images, 1 were not taken" in text and "99.9900%" in text and "PQ: 40.00" in text


def test_images_of_a_folder_have_no_ground_truth(tmp_path):
    from PIL import Image

    for name in "cab":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    images, truth = proof_images({}, str(tmp_path), 2)
    assert [image.name for image in images] == ["a", "b"] and truth is None
