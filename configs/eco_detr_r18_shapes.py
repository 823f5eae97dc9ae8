# ECO-DETR on Shapes: exits after layers 2 to 6. eco_detr_r50_coco.py says how.
_base_ = "./detr_r18_shapes.py"
model = dict(exit_gate=dict(type="ExitGate"), exit_loss=dict(type="mmproscale.MultiExitLoss"))
