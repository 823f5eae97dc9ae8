"""What mmseg's IoUMetric prints by class is kept, as it computes it."""

import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import DumpResults
from mmengine.registry import DefaultScope
from mmseg.evaluation import IoUMetric

from mmproscale.evaluation.class_figures import keep_class_figures

NAMES = ("car", "road", "sky", "moon")  # nobody sees the moon


def evaluated(metric) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    truth, guess = torch.randint(0, 3, (2, 1, 30, 40), generator=generator)
    truth[..., :5] = 255
    metric.dataset_meta = {"classes": NAMES}
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
    assert list(report["per_class"]) == list(NAMES)
    moon = report["per_class"].pop("moon")
    assert math.isnan(moon["IoU"])
    mean = np.mean([figures["IoU"] for figures in report["per_class"].values()])
    assert report["all"]["mIoU"] == pytest.approx(mean)


def test_other_metrics_stay_as_they_are():
    metric = DumpResults("results.pkl")
    before = dict(vars(metric))
    keep_class_figures(metric)
    assert vars(metric) == before
