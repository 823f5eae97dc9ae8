"""Tests in which each image is padded to its own size: results do not depend on the batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from mmengine.model import BaseModel

from mmproscale.models.backbones.timm_backbone import read_from_backbone

Batch = Mapping[str, Any]


class BatchIndependent(BaseModel):
    """Mixin of a model whose result for an image does not depend on the other images of its batch.

    Backbone, group norms and attention see padding, so an image that is padded to the largest image
    of its batch gets another result than without those other images. In validation and tests, this
    model runs once for each padded size. Training has padded batches.

    Args:
        args, arguments: Arguments of the model, which may leave channels and normalisation to a
            backbone, see :func:`read_from_backbone`.
    """

    def __init__(self, *args, **arguments) -> None:
        arguments = read_from_backbone(arguments)
        super().__init__(*args, **arguments)

    def val_step(self, data: Batch) -> list:
        """Return each image's result, as :meth:`test_step`."""
        return self.test_step(data)

    def test_step(self, data: Batch) -> list:
        """Return each image's result, in the order of the batch.

        Args:
            data: A dataloader's batch: ``inputs``, images (3, H, W) of any sizes, and
                ``data_samples``, one for each image.
        """
        predict = partial(self._run_forward, mode="predict")
        return predict_by_size(self.data_preprocessor, predict, data)


def predict_by_size(
    preprocess: Callable[[Batch, bool], Batch], predict: Callable[[Batch], Sequence], data: Batch
) -> list:
    """Return each image's result, in the order of the batch; images of equal padded size run once.

    Args:
        preprocess: A model's ``data_preprocessor``; it pads each image by itself.
        predict: Returns the results of images of one size, given ``inputs`` (B, 3, H, W) and
            ``data_samples``.
        data: A dataloader's batch, as for :meth:`BatchIndependent.test_step`.
    """
    images = range(len(data["inputs"]))
    padded = [preprocess({key: [data[key][i]] for key in data}, False) for i in images]
    by_size = defaultdict(list)
    for image in images:
        by_size[padded[image]["inputs"].shape].append(image)
    results: dict[int, Any] = {}
    for members in by_size.values():
        inputs = torch.cat([padded[i]["inputs"] for i in members])
        samples = [padded[i]["data_samples"][0] for i in members]
        found = predict({"inputs": inputs, "data_samples": samples})
        results |= dict(zip(members, found, strict=True))
    return [results[image] for image in images]
