"""Mask heads for mmdet and mmseg, and the loss of several exits."""

from mmproscale.models.heads.decode_head import MaskDecodeHead
from mmproscale.models.heads.multi_exit_loss import MultiExitLoss
from mmproscale.models.heads.panoptic_head import PanopticHead

__all__ = ["MaskDecodeHead", "MultiExitLoss", "PanopticHead"]
