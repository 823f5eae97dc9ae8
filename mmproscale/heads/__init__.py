from mmproscale.heads.decode_head import MaskDecodeHead
from mmproscale.heads.panoptic_head import PanopticHead

__all__ = ["MaskDecodeHead", "PanopticHead"]
