# ECO on PRO-SCALE (1,1,4) on Shapes: exits after layers 3 to 6. eco_m2f_r18_shapes.py says how.
_base_ = "./proscale_m2f_r18_shapes.py"
decoder = dict(encoder=dict(schedule=dict(repeats=(1, 1, 4))), exit_gate=dict(type="ExitGate"))
model = dict(
    panoptic_head=dict(exit_loss=dict(type="mmproscale.MultiExitLoss"), pixel_decoder=decoder)
)
del decoder
