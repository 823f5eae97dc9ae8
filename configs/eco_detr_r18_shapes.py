# ECO-DETR, 6 layers, R18, Shapes boxes, 2 x 3,000 steps; no published figure
# Starts from a checkpoint of detr_r18_shapes.py (docs/early_exit.md).
_base_ = "./detr_r18_shapes.py"
model = dict(exit_gate=dict(type="ExitGate"), exit_loss=dict(type="mmproscale.MultiExitLoss"))
