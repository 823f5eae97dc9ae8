# Lite-DETR (6+1)x1 for detectors: five layers update strides 64 to 16, a last one all, with a
# feed-forward of its own for stride 8 (without key-aware attention).
schedule = dict(
    _delete_=True, type="lite", levels=(64, 32, 16, 8), coarse_layers=5, fine_channels=256
)
method = dict(encoder=dict(schedule=schedule))
del schedule
