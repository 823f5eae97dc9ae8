# ECO-DETR, 6 layers, R50, COCO boxes, 16 x 1,108,950 steps; AP 41.9 (ECO-M2F, Table 7)
# Starts from a checkpoint of detr_r50_coco.py; beta 0.0001 (docs/early_exit.md).
_base_ = ["_base_/models/detr_r50.py", "_base_/recipes/coco_detr.py"]
model = dict(exit_gate=dict(type="ExitGate"), exit_loss=dict(type="mmproscale.MultiExitLoss"))
