# ECO on PRO-SCALE (3,3,3,3) in DINO: a gate chooses among layers 10 to 12.
# Step A: tools/train.py CONFIG --cfg-options load_from=CHECKPOINT_OF_proscale_dino_r50_coco
# Steps B and C: as in eco_detr_r50_coco.py
_base_ = "./proscale_dino_r50_coco.py"
model = dict(exit_gate=dict(type="ExitGate"), exit_loss=dict(type="mmproscale.MultiExitLoss"))
