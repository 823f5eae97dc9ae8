# PRO-SCALE (3,3,3,3) for detectors: tokens of stride 64, 32, 16, 8 join every three layers.
schedule = dict(_delete_=True, type="pro_scale", repeats=(3, 3, 3, 3), levels=(64, 32, 16, 8))
method = dict(encoder=dict(schedule=schedule), recalibration=dict(_delete_=True, type="TRC"))
del schedule
