# ECO-M2F: a gate decides after which of layers 2 to 6 an image leaves the encoder.
# Step A: tools/train.py CONFIG --cfg-options load_from=CHECKPOINT_OF_m2f_r50_coco
# Step B: tools/eco.py derive CONFIG CHECKPOINT --out derived.parquet
# Step C: tools/eco.py fit derived.parquet --beta 0.0005 --checkpoint CHECKPOINT --out GATED
# Then as any other: tools/test.py CONFIG GATED
_base_ = "./m2f_r50_coco.py"
decoder = dict(exit_gate=dict(type="ExitGate"))
model = dict(
    panoptic_head=dict(exit_loss=dict(type="mmproscale.MultiExitLoss"), pixel_decoder=decoder)
)
del decoder
