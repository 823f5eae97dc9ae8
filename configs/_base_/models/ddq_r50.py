# DDQ at the published size: what differs from DINO. mmdet's ddq-detr-4scale, key for key.
_base_ = "./dino_r50.py"
model = dict(
    type="mmproscale.ScheduledDDQDETR",
    dense_topk_ratio=1.5,
    dqs_cfg=dict(type="nms", iou_threshold=0.8),
    bbox_head=dict(type="mmdet.DDQDETRHead"),
)
