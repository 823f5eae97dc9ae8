# PRO-SCALE in DINO, (1,1,1,1), R50, COCO boxes, 16 x 88,716 steps; no published figure
_base_ = "./proscale_dino_r50_coco.py"
model = dict(encoder=dict(schedule=dict(repeats=(1, 1, 1, 1))))
