# PRO-SCALE, (3,3,3), Swin-L, COCO instances, 16 x 737,500 steps; no published figure
_base_ = ["_base_/models/proscale_m2f_swin-l.py", "_base_/recipes/coco_instance.py"]
model = _base_.model_settings
max_iters = 737500  # 100 epochs, where other backbones have 50
param_scheduler = dict(end=max_iters, milestones=[655556, 710184])
train_cfg = dict(max_iters=max_iters, dynamic_intervals=[(735001, max_iters)])
del max_iters
