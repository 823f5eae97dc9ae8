# Lite DETR's encoder with PRO-SCALE's light pixel embedding.
_base_ = "./lite_m2f_swin-t_coco.py"
model = dict(panoptic_head=dict(pixel_decoder=dict(pixel_embedding=dict(type="LPE"))))
