"""ECO-DETR (ECO-M2F, Table 7): mmdet's DETR, whose dense encoder images may leave early."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from mmdet.models import DETR
from torch import Tensor

from mmproscale.models.detectors.early_exit_detector import EarlyExitDetector
from mmproscale.models.encoders.dense_encoder import STRIDE, DenseEncoder
from mmproscale.registry import MODELS


@MODELS.register_module()
class EarlyExitDETR(EarlyExitDetector, DETR):
    """mmdet's DETR, its weights by name, and :class:`EarlyExitDetector`'s arguments."""

    strides = (STRIDE,)

    def _init_layers(self) -> None:
        config = copy.deepcopy(self.encoder)
        super()._init_layers()  # which names the encoder's class
        self.encoder = DenseEncoder(**config)

    def encode_exits(
        self, exits: Sequence[int], feat: Tensor, feat_mask: Tensor | None, feat_pos: Tensor
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """As :meth:`EarlyExitDetector.encode_exits`."""
        exits = self.encoder.schedule.check_exits(exits)
        for exit_, memory in self.encoder.encode(feat, feat_pos, feat_mask, exits):
            yield exit_, dict(memory=memory)

    def forward_encoder(
        self,
        feat: Tensor,
        feat_mask: Tensor | None,
        feat_pos: Tensor,
        exits: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """mmdet's; with ``exits``, each image as far as its own."""
        if exits is None:
            return super().forward_encoder(feat, feat_mask, feat_pos)
        return dict(memory=self.encoder.encode_images(feat, feat_pos, feat_mask, exits))
