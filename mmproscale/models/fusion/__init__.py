"""Logits to results: panoptic, instance, semantic."""

from mmproscale.models.fusion.fusion_head import UniversalFusionHead

__all__ = ["UniversalFusionHead"]
