# 90,000 iterations of batch 16 on Cityscapes; the rate falls as a polynomial, as in Mask2Former's
# own code and in mmseg's configs.
_base_ = "./m2f_cityscapes_90k.py"
param_scheduler = dict(
    _delete_=True, type="PolyLR", power=0.9, eta_min=0.0, begin=0, end=90000, by_epoch=False
)
