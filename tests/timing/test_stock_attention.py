"""Stock modules without our operator, for a while."""

from mmcv.ops import multi_scale_deform_attn

from mmproscale.timing.stock_attention import stock_attention


def test_stock_attends_as_without_us():
    ours = multi_scale_deform_attn.multi_scale_deformable_attn_pytorch
    with stock_attention():
        assert multi_scale_deform_attn.multi_scale_deformable_attn_pytorch is ours.__wrapped__
    assert multi_scale_deform_attn.multi_scale_deformable_attn_pytorch is ours
