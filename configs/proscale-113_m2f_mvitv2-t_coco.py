_base_ = "./proscale_m2f_mvitv2-t_coco.py"
model = dict(panoptic_head=dict(pixel_decoder=dict(encoder=dict(schedule=dict(repeats=(1, 1, 3))))))
