# The schedule of a config for your own data: a warm-up, then two falls of the rate. The config adds
# the iterations, and takes its optimizer from m2f_adamw.py, detr_adamw.py, or one from scratch.
warm_up = dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0)
falls = dict(type="MultiStepLR", by_epoch=False, gamma=0.1)
train_cfg = dict(type="IterBasedTrainLoop")
