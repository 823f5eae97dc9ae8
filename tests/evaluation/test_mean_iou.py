"""mIoU against a plain reference and hotcoco, with crowds and void; classes of mmseg's metric."""

import math

import numpy as np
import pytest
import torch
from helpers.tiny_universal import CROWD_ID, IDS, predicted, write_universal
from hotcoco.semantic import SemanticEval
from mmengine.evaluator import DumpResults
from mmengine.registry import DefaultScope
from mmseg.evaluation import IoUMetric

from mmproscale.evaluation import UniversalSegMetric
from mmproscale.evaluation.mean_iou import class_areas, keep_class_figures, semantic_quality
from mmproscale.evaluation.panoptic_quality import Segments

IMAGES = 9
CLASSES = ("car", "road", "sky", "moon")  # nobody sees the moon


@pytest.fixture
def metric(tmp_path):
    return UniversalSegMetric(write_universal(tmp_path, IMAGES), kinds=["semantic"])


def true_labels(metric: UniversalSegMetric, number: int) -> np.ndarray:
    """(H, W) labels, each segment painted with its class, 255 for void."""
    id_map, segments = metric.truth.read(number, (24, 32))
    labels = np.full(id_map.shape, 255)
    for segment_id, label in zip(segments.ids, segments.labels, strict=True):
        labels[id_map == segment_id] = label
    return labels


def test_equals_a_plain_mean_over_classes(metric):
    intersection, union = np.zeros(5), np.zeros(5)
    reference = SemanticEval(5)
    for number in range(IMAGES):
        sample = predicted(number)
        metric.process(None, [sample])
        truth, prediction = (
            true_labels(metric, number),
            sample["pred_sem_seg"]["sem_seg"][0].numpy(),
        )
        reference.update(truth, prediction)
        for label in range(5):
            a, b = truth == label, (prediction == label) & (truth != 255)
            intersection[label] += (a & b).sum()
            union[label] += (a | b).sum()
    figures = metric.evaluate(IMAGES)
    expected = (intersection[:4] / union[:4]).mean()
    assert figures == {"universal/mIoU": pytest.approx(100 * expected)}
    assert 0.3 < expected < 0.95
    assert metric.report["semantic"]["miou"] == pytest.approx(reference.results()["mIoU"])
    assert np.isnan(metric.report["semantic"]["per_class"]["3"]), "nobody sees the moon"


def test_a_crowd_counts_for_its_class(metric):
    id_map, segments = metric.truth.read(0, (24, 32))
    assert segments.crowds.any() and CROWD_ID in id_map
    metric.process(None, [predicted(0)])
    (score,) = metric.results
    crowd = segments.labels[segments.crowds][0]
    of_class = segments.areas[segments.labels == crowd].sum()
    assert score.counts["semantic"][crowd, 1] == of_class
    assert score.counts["semantic"][:, 1].sum() == (id_map > 0).sum(), "void is left out"


def test_a_pixel_of_no_class_is_a_miss():
    one = np.ones(1, np.int64)
    truth = Segments(one, 0 * one, 4 * one, np.zeros(1, bool))
    areas = class_areas(truth, np.array([1, 1, 0]), np.array([0, -1, 1]), np.array([3, 1, 5]), 2)
    assert areas.tolist() == [[3, 4, 3], [0, 0, 0]]
    categories = [{"id": i} for i in IDS[:2]]
    quality = semantic_quality(areas, categories)
    assert quality["miou"] == 0.75
    nothing = semantic_quality(np.zeros((2, 3), np.int64), categories)
    assert np.isnan(nothing["miou"])


def evaluated(metric) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    truth, guess = torch.randint(0, 3, (2, 1, 30, 40), generator=generator)
    truth[..., :5] = 255
    metric.dataset_meta = {"classes": CLASSES}
    sample = {"pred_sem_seg": {"data": guess}, "gt_sem_seg": {"data": truth}}
    metric.process({}, [sample])
    with DefaultScope.overwrite_default_scope("mmseg"):
        return metric.evaluate(1)


def test_figures_are_the_metrics_own_and_by_class():
    plain, kept = IoUMetric(iou_metrics=["mIoU", "mDice"]), IoUMetric(iou_metrics=["mIoU", "mDice"])
    keep_class_figures(kept)
    expected = evaluated(plain)
    assert evaluated(kept) == expected
    report = kept.report
    for key, percent in expected.items():
        assert 100 * report["all"][key] == pytest.approx(percent, abs=0.01), key
    assert list(report["per_class"]) == list(CLASSES)
    moon = report["per_class"].pop("moon")
    assert math.isnan(moon["IoU"])
    mean = np.mean([figures["IoU"] for figures in report["per_class"].values()])
    assert report["all"]["mIoU"] == pytest.approx(mean)


def test_other_metrics_stay_as_they_are():
    metric = DumpResults("results.pkl")
    before = dict(vars(metric))
    keep_class_figures(metric)
    assert vars(metric) == before
