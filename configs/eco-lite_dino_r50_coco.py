# ECO on Lite-DINO, (6+1)x1, R50, COCO boxes, 16 x 88,716 steps; no published figure
# Starts from a checkpoint of lite_dino_r50_coco.py (docs/early_exit.md).
_base_ = ["_base_/models/lite_dino_r50.py", "_base_/recipes/coco_dino.py"]
model = dict(exit_gate=dict(type="ExitGate"), exit_loss=dict(type="mmproscale.MultiExitLoss"))
