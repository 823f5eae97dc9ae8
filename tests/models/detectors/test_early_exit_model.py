"""Models with early exits: predictions at each exit, and exits in the data samples."""

import copy

import pytest
import torch
from helpers.early_exit_detectors import NAMES, early_exit
from helpers.tiny_detectors import batch
from mmdet.structures import DetDataSample

from mmproscale.models.detectors.early_exit_model import record_exits

SIZES = [(96, 64), (72, 112)]
EXITS = (2, 3, 4)


def at_exit(model, exit_):
    forced = copy.deepcopy(model)
    forced.exit = exit_
    return forced


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_predictions_at_each_exit_are_those_where_it_is_forced(name):
    model = early_exit(name).eval()
    images, samples = batch(SIZES)
    before = copy.deepcopy(samples)
    exits = model.predict_exits(model.extract_feat(images), samples, EXITS)
    for exit_, found in exits:
        expected = at_exit(model, exit_).predict(images, copy.deepcopy(before))
        for one, other in zip(found, expected, strict=True):
            assert other.encoder_exit == exit_
            torch.testing.assert_close(one.pred_instances.scores, other.pred_instances.scores)
            torch.testing.assert_close(one.pred_instances.bboxes, other.pred_instances.bboxes)
    assert "pred_instances" not in samples[0]


def test_exits_are_in_the_metainfo_of_the_data_samples():
    samples = [DetDataSample(), DetDataSample()]
    record_exits((3, 2), samples)
    assert [sample.metainfo for sample in samples] == [dict(encoder_exit=3), dict(encoder_exit=2)]
    with pytest.raises(ValueError, match="zip"):
        record_exits((3,), samples)
