"""Results of a model's data sample: the requested kinds, and boxes that are not finite."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData

from mmproscale.errors import InputError
from mmproscale.inference.sample_results import result_in

CATEGORIES = [dict(id=7, name="car", isthing=1), dict(id=9, name="road", isthing=0)]
IMAGE = np.zeros((4, 6, 3), np.uint8)


def sample(box: list[float]) -> DetDataSample:
    found = DetDataSample()
    found.pred_instances = InstanceData(
        bboxes=torch.tensor([box]), scores=torch.tensor([0.5]), labels=torch.tensor([0])
    )
    found.pred_sem_seg = PixelData(sem_seg=torch.ones(1, 4, 6, dtype=torch.long))
    return found


def test_only_requested_kinds_are_read():
    both = result_in(sample([0, 0, 2, 3]), IMAGE, None, CATEGORIES, ("instance", "semantic"))
    assert both.instances.names == ["car"] and both.instances.category_ids == [7]
    assert (both.semantic == 1).all() and both.panoptic is None
    one = result_in(sample([0, 0, 2, 3]), IMAGE, None, CATEGORIES, ("semantic",))
    assert one.instances is None and one.semantic is not None


def test_boxes_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="boxes or scores that are not finite"):
        result_in(sample([0, 0, float("nan"), 3]), IMAGE, None, CATEGORIES)
