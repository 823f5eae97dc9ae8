from mmproscale.heads.panoptic_head import PanopticHead

__all__ = ["PanopticHead"]
