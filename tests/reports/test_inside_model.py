"""Values inside a model: tokens, gates, exits, prototypes."""

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS

from mmproscale.errors import InputError
from mmproscale.inference.image_sources import InputImage
from mmproscale.inference.predictor import Segmenter
from mmproscale.models.encoders.exit_gate import EarlyExits
from mmproscale.models.query_decoders.prototype_attention import PrototypeAttention
from mmproscale.reports.inside_model import (
    exits_of,
    prototypes_of,
    recalibration_gates,
    token_similarity,
)
from mmproscale.utils.config import load_config

pytestmark = pytest.mark.slow


def segmenter(config, folder):
    cfg = load_config(config)
    weights = folder / f"{config}.pth"
    model = MODELS.build(cfg.model)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, weights)
    return Segmenter(config, weights)


@pytest.fixture
def image():
    pixels = np.random.default_rng(0).integers(0, 256, (100, 120, 3), np.uint8)
    return InputImage("noise", pixels=pixels)


@pytest.fixture
def proscale(tmp_path):
    return segmenter("proscale_m2f_r18_shapes", tmp_path)


def test_similarity_is_that_of_neighbours(proscale, image):
    found = token_similarity(proscale, [image, image], distances=30)
    assert list(found) == [32, 16, 8]
    assert all(len(values) == 30 and np.nanmax(np.abs(values)) <= 1 for values in found.values())
    assert np.isnan(found[32][-1])  # 4x4 tokens, or fewer
    once = token_similarity(proscale, [image], distances=30)
    np.testing.assert_allclose(found[8], once[8])


def test_gates_are_those_of_the_coarser_levels(proscale, image):
    gates = recalibration_gates(proscale, image)
    assert list(gates) == [32, 16] and gates[16].shape == tuple(2 * n for n in gates[32].shape)
    assert all(((gate > 0) & (gate < 1)).all() for gate in gates.values())


def test_prototypes_lie_in_the_masks_that_the_query_may_read(tmp_path, image):
    model = segmenter("pem_m2f_r18_shapes", tmp_path)
    found = prototypes_of(model, image, queries=3)
    heads = next(m for m in model.model.modules() if isinstance(m, PrototypeAttention)).num_heads
    assert [one.points.shape for one in found] == [(heads, 2)] * 3
    assert found[0].score >= found[1].score >= found[2].score
    for one in found:
        height, width = one.mask.shape
        assert abs(height / width - 100 / 120) < 0.05  # without padding
        assert ((one.points > 0) & (one.points < 1.3)).all()


def test_exits_are_those_that_the_gate_takes(tmp_path, image):
    model = segmenter("eco_m2f_r18_shapes", tmp_path)
    (module,) = (m for m in model.model.modules() if isinstance(m, EarlyExits))
    with pytest.raises(InputError, match="gate has not been fitted, so every image takes the last"):
        exits_of(model, [image])
    bias = module.exit_gate.linear.bias
    with torch.no_grad():
        module.exit_gate.linear.weight.normal_(std=1e-3)
        bias.copy_(torch.arange(len(bias), 0, -1))
    assert exits_of(model, [image, image]) == (module.exits, [module.exits[0]] * 2)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (recalibration_gates, "no token recalibration"),
        (prototypes_of, r"no prototype attention \(PEM\)"),
    ],
)
def test_models_without_the_part_are_refused(tmp_path, image, read, message):
    with pytest.raises(InputError, match=message):
        read(segmenter("m2f_r18_shapes", tmp_path), image)
    with pytest.raises(InputError, match="no exit gate"):
        exits_of(segmenter("m2f_r18_shapes", tmp_path), [image])
