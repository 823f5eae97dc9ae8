"""PEM at parity with what its authors release: pixel decoder, query decoder, and both in a row."""

import pytest
import torch
from helpers.official_pem import LAYERS, Goldens, load, released_head
from torch import nn

from mmproscale.models.pixel_decoders.pixel_decoder import Encoded, PixelDecoder

CLOSE = dict(rtol=0, atol=1e-4)


@pytest.fixture
def goldens(shared):
    return Goldens(shared)


@pytest.fixture
def head(goldens):
    return load(released_head(), goldens)


class GivenMaps(PixelDecoder):
    """Pixel decoder that returns given maps, without a projection."""

    def __init__(self, mask_features, maps):
        super().__init__((4, 8, 16, 32), (32, 16, 8), maps[0].shape[1])
        self.mask_feature, self.mask_features, self.maps = nn.Identity(), mask_features, maps

    def embed(self, feats):
        return Encoded((), self.maps, self.mask_features)


def backbone_maps(goldens):
    return [goldens[f"in/pixel_decoder/res{i}"] for i in (2, 3, 4, 5)]


def given_maps(goldens):
    prefix = "in/transformer_decoder"
    maps = [goldens[f"{prefix}/multi_scale_features{i}"] for i in range(3)]
    return GivenMaps(goldens[f"{prefix}/mask_features"], maps)


@torch.no_grad()
def test_pixel_decoder(head, goldens):
    seen = []
    for aggregation in head.pixel_decoder.aggregations:
        aggregation.conv.register_forward_hook(lambda _, x, out: seen.append(out.clone()))
    mask_features, maps = head.pixel_decoder(backbone_maps(goldens))
    for i, (convolved, feature_map) in enumerate(zip(seen, maps, strict=True)):
        torch.testing.assert_close(convolved, goldens[f"mid/pd/dcn.{i}.dcn.out"], **CLOSE)
        expected = goldens[f"out/pixel_decoder/multi_scale_features{i}"]
        torch.testing.assert_close(feature_map, expected, **CLOSE)
    torch.testing.assert_close(mask_features, goldens["out/pixel_decoder/mask_features"], **CLOSE)


@torch.no_grad()
def test_every_decoder_output(head, goldens):
    head.pixel_decoder = given_maps(goldens)
    predictions = head.decode(None)
    assert len(predictions.class_logits) == LAYERS + 1
    for layer, logits in enumerate(predictions.class_logits):
        out = "out/transformer_decoder"
        torch.testing.assert_close(logits, goldens[f"{out}/pred_logits{layer}"], **CLOSE)
        masks = predictions.masks(layer)
        torch.testing.assert_close(masks, goldens[f"{out}/pred_masks{layer}"], **CLOSE)


@torch.no_grad()
def test_chained(head, goldens):
    classes, masks = head(backbone_maps(goldens))
    torch.testing.assert_close(classes[-1], goldens["out/chained/pred_logits"], **CLOSE)
    torch.testing.assert_close(masks[-1], goldens["out/chained/pred_masks"], **CLOSE)


@pytest.mark.parametrize(
    "choice",
    [dict(normalised_over="channels"), dict(empty_masks="query"), dict(prototypes="any")],
    ids=str,
)
@torch.no_grad()
def test_each_choice_of_the_release_is_another_result_than_the_papers(choice, goldens):
    head = load(released_head(**choice), goldens)
    head.pixel_decoder = given_maps(goldens)
    logits = head.decode(None).class_logits[-1]
    assert (logits - goldens[f"out/transformer_decoder/pred_logits{LAYERS}"]).abs().max() > 0.1
