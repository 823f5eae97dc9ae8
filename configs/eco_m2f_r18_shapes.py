# ECO-M2F on Shapes, six layers: a gate decides after which of the last five an image leaves.
# Step A: tools/train.py CONFIG, from scratch, or from m2f_r18_shapes.py's with six layers
# Step B: tools/eco.py derive CONFIG CHECKPOINT --out derived.parquet
# Step C: tools/eco.py fit derived.parquet --beta 0.01 --checkpoint CHECKPOINT --out GATED
# Then as any other: tools/test.py CONFIG GATED
_base_ = "./m2f_r18_shapes.py"
decoder = dict(encoder=dict(schedule=dict(layers=6)), exit_gate=dict(type="ExitGate"))
model = dict(
    panoptic_head=dict(exit_loss=dict(type="mmproscale.MultiExitLoss"), pixel_decoder=decoder)
)
del decoder
