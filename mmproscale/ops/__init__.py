from mmproscale.ops.multi_scale_deformable_attention import multi_scale_deformable_attention

__all__ = ["multi_scale_deformable_attention"]
