"""Mask head with mmseg's signature: backbone maps and semantic maps to losses or class scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.models.criterion import Targets, semantic_targets
from mmproscale.models.fusion.image_frame import ImageFrame
from mmproscale.models.fusion.semantic import class_scores
from mmproscale.models.heads.mask_head import MaskHead
from mmproscale.registry import MODELS

if TYPE_CHECKING:
    from mmseg.structures import SegDataSample


@MODELS.register_module()
class MaskDecodeHead(MaskHead):
    """Head to use instead of mmseg's ``Mask2FormerHead``, with its arguments and weights.

    It also works in slide inference, where mmseg's resizes each crop's masks to the whole image.

    Args:
        num_classes: Number of classes.
        align_corners: Option of the segmentor when it resizes scores to the original size.
        ignore_index: Label of pixels without annotation in semantic maps.
        kwargs: Arguments of :class:`MaskHead`.
    """

    def __init__(
        self, num_classes: int, align_corners: bool = False, ignore_index: int = 255, **kwargs
    ) -> None:
        super().__init__(num_things_classes=0, num_stuff_classes=num_classes, **kwargs)
        self.align_corners = align_corners
        self.ignore_index = ignore_index
        self.out_channels = num_classes  # channels of the scores, which slide inference reads

    def loss(
        self,
        x: Sequence[Tensor],
        batch_data_samples: Sequence[SegDataSample],
        train_cfg: Mapping[str, Any] | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of backbone maps ``x`` by mmdet's names.

        Args:
            x: (B, C_i, H_i, W_i), high resolution first.
            batch_data_samples: One for each image, with ``gt_sem_seg`` (1, H, W), padded like it.
            train_cfg: Config of the segmentor, not used: the head has its own.

        Raises:
            InputError: A semantic map is missing or has an unknown label; the head has no
                ``train_cfg``, or a ``class_weight`` by name but no class names.
            FloatingPointError: A matching cost is not finite.
        """
        return self.losses(x, self._targets(batch_data_samples))

    def predict(
        self,
        x: Sequence[Tensor],
        batch_img_metas: Sequence[Mapping[str, Any]],
        test_cfg: Mapping[str, Any] | None = None,
    ) -> Tensor:
        """Return scores (B, classes, H, W) at the size of the network's input, image or crop.

        Args:
            x: (B, C_i, H_i, W_i), high resolution first.
            batch_img_metas: Metainfo of each image; all have the size of the first.
            test_cfg: Config of the segmentor, whose ``mode`` may be 'slide'.
        """
        predictions = self.decode(x)
        size = _network_size(batch_img_metas[0], test_cfg or {})
        frame = ImageFrame(size, size, size)
        logits = zip(predictions.class_logits[-1], predictions.masks(), strict=True)
        return torch.stack([class_scores(classes, masks, frame) for classes, masks in logits])

    def _targets(self, samples: Sequence[SegDataSample]) -> list[Targets]:
        names = []
        for sample in samples:
            image = sample.metainfo.get("img_path", "an image")
            if "gt_sem_seg" not in sample:
                raise InputError(f"{image} has no semantic map: load annotations in train_pipeline")
            names.append(sample.metainfo.get("seg_map_path") or f"the map of {image}")
        maps = [sample.gt_sem_seg.data for sample in samples]
        return semantic_targets(maps, names, self.num_classes, self.ignore_index)


def _network_size(metainfo: Mapping[str, Any], test_cfg: Mapping[str, Any]) -> tuple[int, int]:
    """Return (H, W) of the segmentor's input.

    For a crop mmseg stores its size in ``img_shape``; ``pad_shape`` stays that of the whole image.
    """
    padded = None if test_cfg.get("mode") == "slide" else metainfo.get("pad_shape")
    height, width = (padded or metainfo["img_shape"])[:2]
    return int(height), int(width)
