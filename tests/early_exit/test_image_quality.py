"""PQ and AP of single images."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.box_results import EMPTY_IMAGE, ap_by_coco, build_dataset, results_of, write_truth
from helpers.tiny_panoptic import build, write_tiny

from mmproscale.early_exit.image_quality import BoxImageQuality, PanopticImageQuality
from mmproscale.errors import InputError


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_truth(tmp_path_factory.mktemp("truth") / "instances.json")


@pytest.fixture(scope="module")
def dataset(truth):
    return build_dataset(truth)


def test_pq_of_an_image_and_the_counts_of_its_exits(tmp_path):
    write_tiny(tmp_path)  # image 0 has grass in column 0, a cow in column 1, else void
    measure = PanopticImageQuality(build(tmp_path))
    assert [category["name"] for category in measure.categories] == ["cow", "grass", "sky"]
    right = torch.full((1, 4, 6), 3)
    right[..., 0], right[..., 1] = 1, 1000
    sky_for_cow = right.clone()
    sky_for_cow[..., 1] = 2
    samples = [
        dict(img_id=0, pred_panoptic_seg=dict(sem_seg=map_)) for map_ in (right, sky_for_cow)
    ]
    qualities, counts = zip(*map(measure.measure, samples), strict=True)
    assert qualities == pytest.approx([1, 1 / 3])
    columns = measure.columns(counts)
    assert columns["labels"].tolist() == [0, 1, 2]
    # For each class, at both exits: matched, extra and missed segments.
    assert columns["counts"].reshape(3, 2, 4)[..., 1:].tolist() == [
        [[1, 0, 0], [0, 0, 1]],
        [[1, 0, 0], [1, 0, 0]],
        [[0, 0, 0], [0, 1, 0]],
    ]


def test_a_dataset_that_is_not_panoptic(dataset):
    with pytest.raises(InputError, match="quality pq needs panoptic images to train on"):
        PanopticImageQuality(dataset)


def test_image_quality_equals_coco_ap_of_that_image(truth, dataset):
    measures = [BoxImageQuality(dataset), BoxImageQuality(dataset, (0,))]
    values = set()
    for image, of_exits in enumerate(results_of(truth)):
        for sample in of_exits:
            measured = [measure.measure(sample)[0] for measure in measures]
            if image == EMPTY_IMAGE:
                assert np.isnan(measured).all()
                continue
            np.testing.assert_allclose(measured, ap_by_coco(truth, [sample], [image]), atol=1e-12)
            values.add(round(measured[0], 6))
    assert len(values) > 30


def test_no_true_boxes_and_no_detections(dataset):
    measure = BoxImageQuality(dataset)
    nothing = dict(labels=torch.zeros(0).long(), bboxes=torch.zeros(0, 4), scores=torch.zeros(0))
    quality, matches = measure.measure(dict(img_id=0, pred_instances=nothing))
    assert quality == 0 and len(matches.truth_labels) > 0
    quality, matches = measure.measure(dict(img_id=EMPTY_IMAGE, pred_instances=nothing))
    assert np.isnan(quality) and len(matches.truth_labels) == len(matches.labels) == 0


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (dict(img_id=99, pred_instances={}), "image 99 is not in the training set's"),
        (dict(img_id=0), "the model gives no boxes for image 0"),
        (
            dict(
                img_id=0,
                pred_instances=dict(
                    labels=torch.tensor([4]), bboxes=torch.ones(1, 4), scores=torch.ones(1)
                ),
            ),
            "a box has label 4 but the data has 4 classes",
        ),
    ],
)
def test_results_that_cannot_be_measured(dataset, sample, message):
    with pytest.raises(InputError, match=message):
        BoxImageQuality(dataset).measure(sample)


def test_a_dataset_without_boxes():
    with pytest.raises(InputError, match="quality ap needs boxes in COCO's format"):
        BoxImageQuality(SimpleNamespace(ann_file=""))
