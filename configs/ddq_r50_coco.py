# The twin of proscale_ddq_r50_coco.py with DDQ's own encoder.
_base_ = "./proscale_ddq_r50_coco.py"
schedule = dict(_delete_=True, type="m2f", layers=6, levels=(64, 32, 16, 8))
model = dict(encoder=dict(schedule=schedule), recalibration=None)
del schedule
