"""Dimensions are measured on weights, and differences say both sides and the config's key."""

import pytest
from helpers.hub_models import our_model
from mmdet.models.backbones import ResNet

from mmproscale.checkpoints.foreign.dimensions import dimension_differences, measured


def shapes_of(weights, prefix=""):
    return {f"{prefix}{key}": tuple(value.shape) for key, value in weights.items()}


@pytest.fixture(scope="module")
def shapes():
    return shapes_of(our_model().state_dict())


def test_a_swin_model(shapes):
    assert measured(shapes) == {
        "queries": 12,
        "classes": 7,
        "width of the queries": 64,
        "width of the pixel decoder": 64,
        "channels of the mask features": 48,
        "encoder layers": 2,
        "decoder layers": 3,
        "feed-forward width of the encoder": 80,
        "feed-forward width of the decoder": 96,
        "width of Swin": 16,
        "depths of Swin": (2, 2, 2, 2),
        "window of Swin": 4,
    }


@pytest.mark.parametrize(("depth", "blocks"), [(18, (2, 2, 2, 2)), (50, (3, 4, 6, 3))])
def test_a_resnet(depth, blocks):
    found = measured(shapes_of(ResNet(depth=depth).state_dict(), "backbone."))
    assert found == {"depths of ResNet": blocks, "width of ResNet": 64}


def test_mmsegs_head_has_the_same(shapes):
    others = {key.replace("panoptic_head.", "decode_head."): v for key, v in shapes.items()}
    assert measured(others) == measured(shapes)
    assert dimension_differences(others, shapes) == ()


def test_a_line_for_each_difference(shapes):
    key = "panoptic_head.query_feat.weight"
    other = {k: v for k, v in shapes.items() if ".stages.3.blocks.1." not in k} | {key: (9, 64)}
    assert dimension_differences(other, shapes) == (
        "queries: 9 in the file, 12 in the config (num_queries)",
        "depths of Swin: (2, 2, 2, 1) in the file, (2, 2, 2, 2) in the config (depths)",
    )


def test_what_one_side_lacks_is_no_difference(shapes):
    part = {key: shape for key, shape in shapes.items() if key.startswith("backbone.")}
    assert dimension_differences(part, shapes) == ()
