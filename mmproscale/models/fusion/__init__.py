"""Fusion: class and mask logits to panoptic, instance and semantic results."""

from mmproscale.models.fusion.fusion_head import UniversalFusionHead

__all__ = ["UniversalFusionHead"]
