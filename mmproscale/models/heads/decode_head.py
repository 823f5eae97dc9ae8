"""The mask head with mmseg's signature: feature maps and semantic maps in, losses or scores out."""

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
    """In the place of mmseg's ``Mask2FormerHead``, with its arguments and weights.

    It also serves slide inference, where mmseg's resizes each crop's masks to the whole image.

    Args:
        num_classes: Number of classes.
        align_corners: How the segmentor resizes scores to the original image's size.
        ignore_index: What semantic maps hold where nothing is annotated.
        kwargs: Those of :class:`MaskHead`.
    """

    def __init__(
        self, num_classes: int, align_corners: bool = False, ignore_index: int = 255, **kwargs
    ) -> None:
        super().__init__(num_things_classes=0, num_stuff_classes=num_classes, **kwargs)
        self.align_corners = align_corners
        self.ignore_index = ignore_index
        self.out_channels = num_classes  # of the scores: slide inference asks for it

    def loss(
        self,
        x: Sequence[Tensor],
        batch_data_samples: Sequence[SegDataSample],
        train_cfg: Mapping[str, Any] | None = None,
    ) -> dict[str, Tensor]:
        """Losses of backbone maps ``x`` by mmdet's names.

        Args:
            x: (B, C_i, H_i, W_i), high resolution first.
            batch_data_samples: B, with ``gt_sem_seg`` (1, H, W), padded as the images are.
            train_cfg: The segmentor's, which is not used: the head has its own.

        Raises:
            InputError: A map with labels that are no classes, or none at all; a head without
                ``train_cfg``, or one that weighs classes by names that nobody has told it.
            FloatingPointError: A matching cost that is not a number.
        """
        return self.losses(x, [self._targets(sample) for sample in batch_data_samples])

    def predict(
        self,
        x: Sequence[Tensor],
        batch_img_metas: Sequence[Mapping[str, Any]],
        test_cfg: Mapping[str, Any] | None = None,
    ) -> Tensor:
        """Scores (B, classes, H, W) at the size of what the network has seen: image or crop.

        Args:
            x: (B, C_i, H_i, W_i), high resolution first.
            batch_img_metas: Metainfo of each image; the first one's size is that of all.
            test_cfg: The segmentor's, whose ``mode`` may be 'slide'.
        """
        predictions = self.decode(x)
        size = _network_size(batch_img_metas[0], test_cfg or {})
        frame = ImageFrame(size, size, size)
        both = zip(predictions.class_logits[-1], predictions.masks(), strict=True)
        return torch.stack([class_scores(classes, masks, frame) for classes, masks in both])

    def _targets(self, sample: SegDataSample) -> Targets:
        image = sample.metainfo.get("img_path", "an image")
        if "gt_sem_seg" not in sample:
            raise InputError(
                f"{image} has no semantic map to learn from: load annotations in train_pipeline"
            )
        try:
            return semantic_targets(sample.gt_sem_seg.data, self.num_classes, self.ignore_index)
        except InputError as error:
            where = sample.metainfo.get("seg_map_path") or f"the map of {image}"
            raise InputError(f"{where}: {error}") from error


def _network_size(metainfo: Mapping[str, Any], test_cfg: Mapping[str, Any]) -> tuple[int, int]:
    """(H, W) of the segmentor's input.

    For a crop mmseg notes its size as the image's, and leaves ``pad_shape`` that of the whole.
    """
    padded = None if test_cfg.get("mode") == "slide" else metainfo.get("pad_shape")
    height, width = (padded or metainfo["img_shape"])[:2]
    return int(height), int(width)
