# ECO-DINO: a gate decides after which of layers 2 to 6 an image leaves DINO's encoder.
# Step A: tools/train.py CONFIG --cfg-options load_from=CHECKPOINT_OF_dino_r50_coco
# Steps B and C: as in eco_detr_r50_coco.py
_base_ = "./dino_r50_coco.py"
model = dict(exit_gate=dict(type="ExitGate"), exit_loss=dict(type="mmproscale.MultiExitLoss"))
