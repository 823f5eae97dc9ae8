# ECO-DINO on Shapes, six layers: a gate decides after which of the last five an image leaves.
# Step A: tools/train.py CONFIG, from scratch, or from dino_r18_shapes.py's with six layers
# Steps B and C: as in eco_detr_r50_coco.py
_base_ = "./dino_r18_shapes.py"
model = dict(
    encoder=dict(schedule=dict(layers=6)),
    exit_gate=dict(type="ExitGate"),
    exit_loss=dict(type="mmproscale.MultiExitLoss"),
)
