from mmproscale.heads.multi_exit_loss import MultiExitLoss
from mmproscale.heads.panoptic_head import PanopticHead

__all__ = ["MultiExitLoss", "PanopticHead"]
