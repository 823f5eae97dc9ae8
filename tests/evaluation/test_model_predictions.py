"""Parts of a model's data sample: as they are scored, and refused by name where they are bad."""

import numpy as np
import pytest
import torch
from helpers.tiny_universal import SIZE, predicted, write_universal

from mmproscale.errors import InputError
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.image_score import KINDS, ImageScorer
from mmproscale.evaluation.model_predictions import prediction_of


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> ImageScorer:
    ann_file = write_universal(tmp_path_factory.mktemp("truth"), 1)
    return ImageScorer(PanopticGroundTruth(ann_file), KINDS)


def test_parts_of_a_prediction(scorer):
    sample = predicted(0)
    prediction = prediction_of(sample, scorer)
    assert prediction.shape == SIZE
    panoptic, semantic = prediction.maps["panoptic"], prediction.maps["semantic"]
    assert (panoptic.values == sample["pred_panoptic_seg"]["sem_seg"][0].numpy()).all()
    assert panoptic.labels_of(np.array([2, 5, 4001])).tolist() == [2, -1, 1], "5 is void"
    assert semantic.labels_of(np.array([0, 4])).tolist() == [0, 4]
    areas = sample["pred_instances"]["masks"].sum((1, 2)).tolist()
    assert [detection["area"] for detection in prediction.detections] == areas
    assert {d["category_id"] for d in prediction.detections} <= {5, 70}


def test_scores_in_bfloat16_are_read(scorer):
    """Stock fusion heads give such scores under autocast."""
    scores = predicted(0)["pred_instances"]["scores"]
    prediction = prediction_of(changed("pred_instances", scores=scores.bfloat16()), scorer)
    assert [detection["score"] for detection in prediction.detections] == scores.tolist()


def without(key):
    return {k: v for k, v in predicted(0).items() if k != key}


def changed(key, **parts):
    return predicted(0) | {key: predicted(0)[key] | parts}


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (without("pred_sem_seg"), "no semantic result"),
        (without("pred_instances"), "instance_on=True"),
        (changed("pred_sem_seg", sem_seg=torch.full((1, 24, 32), 5)), "label 5 but the data has 5"),
        (changed("pred_sem_seg", sem_seg=torch.rand(5, 24, 32)), r"expected \(1, H, W\) labels"),
        (changed("pred_sem_seg", sem_seg=torch.ones(1, 8, 32).long()), "differ in size"),
        (changed("pred_instances", labels=torch.full((4,), 2)), "label 2 but .* 2 thing classes"),
        (changed("pred_instances", masks=torch.ones(4, 9)), r"expected \(N, H, W\)"),
    ],
)
def test_bad_parts_of_a_prediction(scorer, bad, says):
    count = len(bad["pred_instances"]["labels"]) if "pred_instances" in bad else 0
    if "pred_instances" in bad and len(bad["pred_instances"]["masks"]) != count:
        bad["pred_instances"]["labels"] = bad["pred_instances"]["labels"][:1].repeat(count)
    with pytest.raises(InputError, match=says) as error:
        scorer.score(0, prediction_of(bad, scorer))
    assert "\n" not in str(error.value)
