# ECO-DETR: a gate decides after which of layers 2 to 6 an image leaves DETR's encoder.
# Step A: tools/train.py CONFIG --cfg-options load_from=CHECKPOINT_OF_detr_r50_coco
# Step B: tools/eco.py derive CONFIG CHECKPOINT --out derived.parquet
# Step C: tools/eco.py fit derived.parquet --beta 0.0001 --checkpoint CHECKPOINT --out GATED
# Then as any other: tools/test.py CONFIG GATED
_base_ = "./detr_r50_coco.py"
model = dict(exit_gate=dict(type="ExitGate"), exit_loss=dict(type="mmproscale.MultiExitLoss"))
