# ECO on PRO-SCALE (3,3,3): a gate decides after which of layers 7 to 9 an image leaves it.
# Step A: tools/train.py CONFIG --cfg-options load_from=CHECKPOINT_OF_proscale_m2f_swin-t_coco
# Step B: tools/eco.py derive CONFIG CHECKPOINT --out derived.parquet
# Step C: tools/eco.py fit derived.parquet --beta 0.0005 --checkpoint CHECKPOINT --out GATED
# Then as any other: tools/test.py CONFIG GATED
_base_ = "./proscale_m2f_swin-t_coco.py"
decoder = dict(exit_gate=dict(type="ExitGate"))
model = dict(
    panoptic_head=dict(exit_loss=dict(type="mmproscale.MultiExitLoss"), pixel_decoder=decoder)
)
del decoder
