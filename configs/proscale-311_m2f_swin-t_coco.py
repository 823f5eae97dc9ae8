_base_ = "./proscale_m2f_swin-t_coco.py"
model = dict(panoptic_head=dict(pixel_decoder=dict(encoder=dict(schedule=dict(repeats=(3, 1, 1))))))
