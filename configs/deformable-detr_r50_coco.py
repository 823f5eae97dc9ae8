# The twin of proscale_deformable-detr_r50_coco.py with Deformable DETR's own encoder.
_base_ = "./proscale_deformable-detr_r50_coco.py"
schedule = dict(_delete_=True, type="m2f", layers=6, levels=(64, 32, 16, 8))
model = dict(encoder=dict(schedule=schedule), recalibration=None)
del schedule
