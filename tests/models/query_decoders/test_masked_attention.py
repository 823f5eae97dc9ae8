"""Attention masks against Mask2Former's rule and the authors' rule of PEM."""

import torch
import torch.nn.functional as F

from mmproscale.models.query_decoders.masked_attention import attention_mask, unmask_empty_images

B, Q, N, C, HEADS = 2, 5, 12, 16, 4


def test_reads_where_the_resized_mask_is_foreground():
    embedding, features = torch.randn(B, Q, 8), torch.randn(B, 8, 20, 28)
    masks = torch.einsum("bqc,bchw->bqhw", embedding, features)
    for size in ((5, 7), (10, 14), (3, 5)):
        resized = F.interpolate(masks, size, mode="bilinear").flatten(2)
        mine = attention_mask(embedding, F.interpolate(features, size, mode="bilinear"))
        assert mine.shape == (B, 1, Q, size[0] * size[1])
        differs = mine[:, 0] != (resized.sigmoid() >= 0.5)
        assert resized[differs].abs().max(initial=0) < 1e-4 if differs.any() else True


def test_a_query_without_a_mask_reads_everything():
    embedding, features = -torch.ones(1, 2, 1), torch.ones(1, 1, 2, 2)
    embedding[0, 1] = 1
    features[0, 0, 0, 0] = -1
    mask = attention_mask(embedding, features)[0, 0]
    assert mask.tolist() == [[True, False, False, False], [False, True, True, True]]
    features[:] = 1
    assert attention_mask(embedding, features)[0, 0].all()


def test_only_images_without_any_pixel_are_unmasked():
    reads = torch.zeros(2, 3, 4, dtype=torch.bool)
    reads[0, 1, 2] = True
    unmasked = unmask_empty_images(reads)
    assert unmasked[1].all()
    assert unmasked[0].nonzero().tolist() == [[0, 0], [1, 2], [2, 0]]
