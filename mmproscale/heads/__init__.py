from mmproscale.heads.decode_head import MaskDecodeHead
from mmproscale.heads.multi_exit_loss import MultiExitLoss
from mmproscale.heads.panoptic_head import PanopticHead

__all__ = ["MaskDecodeHead", "MultiExitLoss", "PanopticHead"]
