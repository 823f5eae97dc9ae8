# PRO-SCALE, (3,3,3), Swin-T, COCO panoptic, 4 x 20,000 steps; no published figure
# Starts from a trained Mask2Former of the hub, or from your own (docs/weights.md).
_base_ = ["_base_/models/proscale_m2f_swin-t.py", "_base_/recipes/coco_panoptic_finetune.py"]
model = _base_.model_settings
load_from = "hf://facebook/mask2former-swin-tiny-coco-panoptic"
