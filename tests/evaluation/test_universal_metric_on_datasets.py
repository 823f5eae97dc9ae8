"""Dataset and metric agree on labels: ground truth as a prediction scores 100."""

import numpy as np
import pytest
import torch
from mmdet.evaluation.functional import INSTANCE_OFFSET

from mmproscale.datasets.formats.panoptic_png import read_png
from mmproscale.datasets.loading import PanopticDataset
from mmproscale.evaluation import UniversalSegMetric

COCO = ("coco_panoptic_sample", "panoptic_examples.json", "images/", "panoptic_val2017/")
CAMVID = ("camvid", "annotations/panoptic_val.json", "val/", "annotations/panoptic_val/")


def as_prediction(item: dict, num_classes: int) -> dict:
    """An item's ground truth in the form of mmdet's panoptic results; crowds are left void."""
    ids = read_png(item["seg_map_path"])
    sem_seg = np.full(ids.shape, num_classes, np.int32)
    for instance, segment in enumerate(item["segments_info"], start=1):
        offset = instance * INSTANCE_OFFSET if segment["is_thing"] else 0
        sem_seg[ids == segment["id"]] = segment["category"] + offset
    return {
        "img_id": item["img_id"],
        "pred_panoptic_seg": {"sem_seg": torch.from_numpy(sem_seg)[None]},
    }


@pytest.mark.parametrize(("folder", "ann_file", "img", "seg"), [COCO, CAMVID])
def test_ground_truth_scores_100(shared, folder, ann_file, img, seg):
    root = shared / "data" / folder
    dataset = PanopticDataset(
        ann_file=ann_file,
        data_root=str(root),
        data_prefix={"img": img, "seg": seg},
        test_mode=True,
        indices=20 if folder == "camvid" else None,
    )
    metric = UniversalSegMetric(root / ann_file, root / seg)
    metric.dataset_meta = dataset.metainfo
    for index in range(len(dataset)):
        item = dataset.get_data_info(index)
        metric.process(None, [as_prediction(item, len(dataset.metainfo["classes"]))])
    figures = metric.evaluate(len(dataset))
    assert figures["universal/PQ_th"] == pytest.approx(100, abs=1e-6)
    assert figures["universal/PQ"] == pytest.approx(100, abs=1e-6)
