_base_ = "./proscale_dino_r50_coco.py"
model = dict(encoder=dict(schedule=dict(repeats=(1, 1, 1, 1))))
