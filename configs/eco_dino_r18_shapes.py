# ECO-DINO, 6 layers, R18, Shapes boxes, 2 x 2,000 steps; no published figure
# From scratch, or from dino_r18_shapes.py with six layers (docs/early_exit.md).
_base_ = ["_base_/models/dino_r18.py", "_base_/recipes/shapes_detection.py"]
model = dict(
    encoder=dict(schedule=dict(layers=6)),
    exit_gate=dict(type="ExitGate"),
    exit_loss=dict(type="mmproscale.MultiExitLoss"),
    **_base_.model_settings,
)
