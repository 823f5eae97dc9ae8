"""A picture whose colours tell its labels, and the checks that a training transform passes.

Sixteen patches of 120x160: two of each of six hues, then four greys. Every patch has its own label;
labels below 8 are things. Channels stay within 40 to 138, so that neither 32 more or less nor half
as much again cuts a value off at 0 or 255: a hue then changes only by what a transform adds to it.
"""

from itertools import permutations
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage

THINGS = 8
ROWS = COLUMNS = 4
PATCH = (120, 160)  # height, width
GREYS = [(0, 0, 0), (90, 90, 90), (160, 160, 160), (255, 255, 255)]
COLOURS = np.array(
    [*permutations((40, 89, 138)), *permutations((60, 85, 110)), *GREYS], np.uint8
)  # (labels, BGR)
# As Mask2Former distorts colours; a hue is 0 to 179, as OpenCV stores it.
MOST_BRIGHTNESS, LEAST_CONTRAST, MOST_CONTRAST, MOST_HUE = 32, 0.5, 1.5, 18
ROUNDING = 3  # of 255: two conversions to HSV and back in 8 bits
HUE_ROUNDING = 5  # of 180: a channel's error of 2 where the least and largest differ by 25
# A bilinear enlargement by 5 mixes patches this many pixels to either side of their edge.
EDGE = 6


def write_chart(folder: Path, zero_is_void: bool = False) -> dict:
    """Write the picture, its panoptic PNG and its label map; return a dataset's item of it.

    Args:
        zero_is_void: Labels in the map are one more, as in ADE20K's.
    """
    labels = np.kron(np.arange(16).reshape(ROWS, COLUMNS), np.ones(PATCH, int)).astype(np.uint8)
    cv2.imwrite(str(folder / "image.png"), COLOURS[labels])
    ids = np.stack([np.zeros_like(labels), np.zeros_like(labels), labels + 1], -1)  # as BGR
    cv2.imwrite(str(folder / "panoptic.png"), ids)
    cv2.imwrite(str(folder / "labels.png"), labels + zero_is_void)
    segments, instances = [], []
    for label in range(16):
        y, x = (place * side for place, side in zip(divmod(label, COLUMNS), PATCH, strict=True))
        (h, w), thing = PATCH, label < THINGS
        box = dict(bbox=[x, y, w, h], area=w * h)
        segments.append(dict(box, id=label + 1, category=label, is_thing=thing))
        if thing:
            corners = [x, y, x + w, y, x + w, y + h, x, y + h]
            place = dict(bbox=[x, y, x + w, y + h], bbox_label=label, ignore_flag=0, place=label)
            instances.append(dict(place, mask=[corners], area=w * h))
    return dict(
        img_path=str(folder / "image.png"),
        img_id=1,
        height=ROWS * PATCH[0],
        width=COLUMNS * PATCH[1],
        segments_info=segments,
        instances=instances,
        ann_file="chart.json",
        reduce_zero_label=zero_is_void,
        label_map=None,
        seg_fields=[],
        num_classes=16,
        paths=dict(panoptic=str(folder / "panoptic.png"), labels=str(folder / "labels.png")),
    )


def check_labels(results: dict, colour_may_change: bool) -> int:
    """Check that labels, masks and boxes lie where the colours that stand for them do.

    Args:
        results: A pipeline's, with ``img`` and what ground truth there is, or packed.
        colour_may_change: Whether colours may differ from the chart's as Mask2Former's may.

    Returns:
        How many labelled areas were compared.
    """
    image, areas, boxes = _read(results)
    assert image.min() >= 0 and image.max() <= 255
    seen = 0
    for label, area in areas:
        assert area.shape == image.shape[:2], "labels of another size than the image"
        inside = ndimage.binary_erosion(area, iterations=EDGE, border_value=1)
        if inside.any():
            _check_colour(image[inside], label, colour_may_change)
            seen += 1
    for label, (x1, y1, x2, y2) in boxes:
        rows, columns = (
            slice(int(start) + EDGE, max(int(end) - EDGE, 0)) for start, end in ((y1, y2), (x1, x2))
        )
        inner = image[rows, columns]
        if inner.size:
            _check_colour(inner.reshape(-1, 3), label, colour_may_change)
            seen += 1
    return seen


def _read(results: dict) -> tuple[np.ndarray, list, list]:
    """Return the image (H, W, 3) and pairs of a label with its area (H, W) or its box (4,)."""
    if "inputs" in results:
        results = _unpack(results)
    areas, boxes = [], []
    classes, masks = results.get("gt_seg_map"), results.get("gt_masks")
    if classes is not None:
        areas += [(label, classes == label) for label in np.unique(classes) if label != 255]
    if "gt_bboxes" in results:
        labels = [int(label) for label in results["gt_bboxes_labels"]]
        boxes = list(zip(labels, results["gt_bboxes"].tensor.tolist(), strict=True))
        if masks is not None:
            areas += list(zip(labels, masks.to_ndarray().astype(bool), strict=True))
    return results["img"].astype(np.float32), areas, boxes


def _unpack(packed: dict) -> dict:
    """Return what PackDetInputs or PackSegInputs has packed by the names of before."""
    sample = packed["data_samples"]
    results = dict(img=packed["inputs"].permute(1, 2, 0).numpy())
    if "gt_sem_seg" in sample:
        truth = sample.gt_sem_seg
        results["gt_seg_map"] = (truth.sem_seg if "sem_seg" in truth else truth.data)[0].numpy()
    if "gt_instances" in sample:
        found = sample.gt_instances
        results.update(gt_bboxes=found.bboxes, gt_bboxes_labels=found.labels)
        results["gt_masks"] = found.get("masks")
    return results


def _check_colour(pixels: np.ndarray, label: int, may_change: bool) -> None:
    """Check one area's pixels (N, 3) BGR against the colour that the label has in the chart."""
    before, after = COLOURS[label].astype(float), pixels.mean(0)
    spread = np.abs(pixels - after).max()
    assert spread <= ROUNDING, f"label {label} lies over several colours"
    if not may_change:
        assert np.abs(after - before).max() <= ROUNDING, f"label {label}: {before} is {after}"
        return
    value = before.max()
    low = LEAST_CONTRAST * max(value - MOST_BRIGHTNESS, 0) - ROUNDING
    high = MOST_CONTRAST * (value + MOST_BRIGHTNESS) + ROUNDING
    assert low <= after.max() <= high, f"label {label}: {before} is {after}, too dark or too bright"
    if np.ptp(before) == 0:
        assert np.ptp(after) <= ROUNDING, f"label {label}: grey {before} is {after}"
    elif np.ptp(after) > 10:  # a hue can be told
        change = (_hue(after) - _hue(before) + 90) % 180 - 90
        assert abs(change) <= MOST_HUE + HUE_ROUNDING, (
            f"label {label}: BGR {before} is {after.round()}, its hue {change:.0f} away: "
            "channels are in another order"
        )


def _hue(bgr: np.ndarray) -> float:
    pixel = bgr.astype(np.float32).reshape(1, 1, 3) / 255
    return float(cv2.cvtColor(pixel, cv2.COLOR_BGR2HSV)[0, 0, 0]) / 2
