"""Figures of the PRO-SCALE and ECO-M2F papers: accuracy and cost. None was measured with this code.

Costs on COCO are averages over images of different sizes, and the set of images differs from table
to table. Costs on Cityscapes are of 1024x2048. For Lite-M2F, Table 1 prints the mIoU and AP that
Table 5 gives for Lite-M2F with LPE. Each row here is as its own table prints it.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmproscale.models.encoders.schedule import Schedule, lite, mask2former, pro_scale

COCO, CITYSCAPES, COCO_BOXES = "coco", "cityscapes", "coco boxes"
NONE = float("nan")  # not in the table
CONV, LPE = "conv", "lpe"
BOX_LEVELS = (64, 32, 16, 8)  # strides


@dataclass(frozen=True)
class Published:
    """One row of a table.

    Args:
        dataset: Validation set: :data:`COCO`, :data:`CITYSCAPES` or, for a detector,
            :data:`COCO_BOXES`.
        backbone: Name of the backbone in our configs.
        schedule: The encoder; None for RT-M2F, which has no schedule.
        pixel_embedding: :data:`CONV` or :data:`LPE`; None for a detector.
        table: Number of the table in the paper.
        pq: Panoptic quality, percent.
        miou: mIoU_p, percent.
        ap: AP_p, percent; AP of boxes for a detector.
        total: GFLOPs of the model (multiply-accumulates).
        pixel_decoder: GFLOPs of 'Tx. Enc.'; of the encoder for a detector.
    """

    dataset: str
    backbone: str
    schedule: Schedule | None
    pixel_embedding: str | None
    table: str
    pq: float
    miou: float
    ap: float
    total: float
    pixel_decoder: float

    @property
    def score(self) -> float:
        """Figure by which rows are compared: PQ, or AP of boxes."""
        return self.ap if self.dataset == COCO_BOXES else self.pq


def _row(dataset: str, backbone: str, encoder: str, table: str, *figures: float) -> Published:
    schedule, pixel_embedding = _ENCODERS[encoder]
    return Published(dataset, backbone, schedule, pixel_embedding, table, *figures)


_ENCODERS: dict[str, tuple[Schedule | None, str | None]] = {
    "M2F": (mask2former(6), CONV),
    "Lite": (lite(5), CONV),
    "Lite + LPE": (lite(5), LPE),
    "RT": (None, CONV),
    "(1,1,1)": (pro_scale((1, 1, 1)), LPE),
    "(3,1,1)": (pro_scale((3, 1, 1)), LPE),
    "(1,3,1)": (pro_scale((1, 3, 1)), LPE),
    "(1,1,3)": (pro_scale((1, 1, 3)), LPE),
    "(2,2,2)": (pro_scale((2, 2, 2)), LPE),
    "(3,3,3)": (pro_scale((3, 3, 3)), LPE),
    "DINO": (mask2former(6, BOX_LEVELS), None),
    "(3,3,3,3)": (pro_scale((3, 3, 3, 3), BOX_LEVELS), None),
}

# Columns: encoder, table, PQ, mIoU_p, AP_p, GFLOPs of the model, GFLOPs of the pixel decoder.
PUBLISHED: tuple[Published, ...] = (
    _row(COCO, "swin-t", "M2F", "1", 52.03, 62.49, 42.17, 234.5, 117.0),
    _row(COCO, "swin-t", "Lite", "1", 52.70, 63.08, 41.10, 188.0, 79.78),
    _row(COCO, "swin-t", "RT", "1", 41.36, 61.54, 24.68, 158.3, 59.66),
    _row(COCO, "swin-t", "Lite + LPE", "5", 52.32, 63.08, 41.10, 154.6, 43.92),
    _row(COCO, "swin-t", "(1,1,1)", "1", 50.79, 62.39, 39.57, 137.1, 22.89),
    _row(COCO, "swin-t", "(3,1,1)", "7", 51.69, 62.81, 40.46, 138.7, 26.87),
    _row(COCO, "swin-t", "(1,3,1)", "7", 51.76, 63.23, 41.07, 143.8, 32.29),
    _row(COCO, "swin-t", "(1,1,3)", "7", 52.40, 62.66, 41.62, 164.7, 54.77),
    _row(COCO, "swin-t", "(2,2,2)", "1", 52.12, 63.21, 41.58, 154.4, 39.53),
    _row(COCO, "swin-t", "(3,3,3)", "1", 52.82, 63.49, 42.60, 171.7, 56.18),
    _row(COCO, "r50", "M2F", "1", 51.73, 61.94, 41.72, 229.1, 135.0),
    _row(COCO, "r50", "(1,1,1)", "1", 50.31, 60.66, 39.56, 131.4, 30.25),
    _row(COCO, "r50", "(2,2,2)", "1", 51.21, 61.53, 40.66, 148.8, 48.85),
    _row(COCO, "r50", "(1,1,3)", "6", 51.35, 61.53, 40.82, 158.6, 59.44),
    _row(COCO, "r50", "(3,3,3)", "1", 51.45, 61.58, 41.45, 166.1, 67.45),
    _row(COCO, "mvitv2-t", "M2F", "6", 54.11, 64.39, 44.54, 244.6, 130.0),
    _row(COCO, "mvitv2-t", "(1,1,3)", "6", 53.70, 64.17, 43.53, 174.1, 54.77),
    _row(CITYSCAPES, "swin-t", "M2F", "2", 64.00, 80.77, 39.26, 537.8, 281.0),
    _row(CITYSCAPES, "swin-t", "Lite", "2", 62.29, 79.43, 36.57, 428.7, 172.0),
    _row(CITYSCAPES, "swin-t", "RT", "2", 59.73, 77.89, 31.35, 361.1, 130.0),
    _row(CITYSCAPES, "swin-t", "Lite + LPE", "5", 61.35, 79.05, 35.91, 351.4, 94.69),
    _row(CITYSCAPES, "swin-t", "(1,1,1)", "2", 60.58, 78.29, 32.97, 311.9, 55.14),
    _row(CITYSCAPES, "swin-t", "(3,1,1)", "7", 61.38, 78.58, 33.75, 314.7, 57.93),
    _row(CITYSCAPES, "swin-t", "(1,3,1)", "7", 61.63, 78.67, 35.26, 326.3, 69.62),
    _row(CITYSCAPES, "swin-t", "(1,1,3)", "7", 62.32, 79.49, 36.97, 374.8, 118.0),
    _row(CITYSCAPES, "swin-t", "(2,2,2)", "2", 62.37, 78.62, 35.97, 352.0, 95.24),
    _row(CITYSCAPES, "swin-t", "(3,3,3)", "2", 63.06, 77.94, 37.81, 392.1, 135.0),
    _row(CITYSCAPES, "r50", "M2F", "2", 61.86, 76.94, 37.35, 524.1, 291.0),
    _row(CITYSCAPES, "r50", "(1,1,1)", "2", 59.70, 77.19, 32.77, 298.1, 65.21),
    _row(CITYSCAPES, "r50", "(2,2,2)", "2", 60.89, 76.61, 34.95, 338.2, 105.0),
    _row(CITYSCAPES, "r50", "(3,3,3)", "2", 61.87, 78.44, 37.33, 378.3, 145.0),
    _row(CITYSCAPES, "swin-s", "M2F", "T4", 64.80, 81.80, 40.70, 724.3, 281.0),
    _row(CITYSCAPES, "swin-s", "(3,3,3)", "T4", 64.41, 80.19, 39.90, 578.5, 135.0),
    _row(CITYSCAPES, "swin-b", "M2F", "T4", 66.10, 82.70, 42.80, 1051.2, 283.0),
    _row(CITYSCAPES, "swin-b", "(3,3,3)", "T4", 65.27, 81.97, 41.12, 905.4, 137.0),
    _row(CITYSCAPES, "swin-l", "M2F", "T4", 66.60, 82.90, 43.60, 1949.7, 287.0),
    _row(CITYSCAPES, "swin-l", "(3,3,3)", "T4", 65.93, 82.77, 41.80, 1803.9, 141.0),
    _row(CITYSCAPES, "r101", "M2F", "T4", 62.40, 78.60, 37.70, 679.7, 291.0),
    _row(CITYSCAPES, "r101", "(3,3,3)", "T4", 61.28, 76.50, 36.49, 533.9, 145.0),
    _row(COCO_BOXES, "r50", "DINO", "T1", NONE, NONE, 49.0, NONE, 179.0),
    _row(COCO_BOXES, "r50", "(3,3,3,3)", "T1", NONE, NONE, 49.4, NONE, 126.0),
)


@dataclass(frozen=True)
class PublishedDetector:
    """One row of ECO-M2F's Table 7: detection on COCO with ResNet-50.

    Args:
        name: Name of the model.
        beta: Weight of the cost in the training of its gate; None if all layers run.
        ap: Box AP, percent.
        total: GFLOPs of the model (multiply-accumulates), the mean over images.
        encoder: GFLOPs of 'Tx. Enc.'.
    """

    name: str
    beta: float | None
    ap: float
    total: float
    encoder: float


# No image size reproduces both costs of the first row: 800x1184 gives its encoder's, 800x1088 its
# total. In the other rows, total minus encoder is 75.4; in the first row it is 73.7.
PUBLISHED_DETR: tuple[PublishedDetector, ...] = (
    PublishedDetector("DETR", None, 42.0, 83.59, 9.92),
    PublishedDetector("ECO-DETR", 0.0001, 41.9, 81.87, 6.41),
    PublishedDetector("ECO-DETR", 0.001, 40.9, 79.92, 4.52),
    PublishedDetector("ECO-DETR", 0.01, 40.2, 79.33, 3.94),
)
