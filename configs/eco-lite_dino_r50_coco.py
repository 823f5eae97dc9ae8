# ECO on Lite-DINO (6+1)x1: exits after layers 2 to 5, and the full layer always.
# Step A: tools/train.py CONFIG --cfg-options load_from=CHECKPOINT_OF_lite_dino_r50_coco
# Steps B and C: as in eco_detr_r50_coco.py
_base_ = "./lite_dino_r50_coco.py"
model = dict(exit_gate=dict(type="ExitGate"), exit_loss=dict(type="mmproscale.MultiExitLoss"))
