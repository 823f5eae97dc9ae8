"""Transforms that load an image and its ground truth, and refuse broken files in one line."""

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets.transforms import LoadAnnotations, LoadPanopticAnnotations
from mmdet.structures.mask import BitmapMasks

from mmproscale.datasets.checks.instance_faults import mask_faults
from mmproscale.datasets.checks.png_faults import map_segments, segment_faults
from mmproscale.datasets.formats.images import size_faults, unreadable
from mmproscale.datasets.formats.panoptic_png import read_png
from mmproscale.errors import InputError
from mmproscale.registry import TRANSFORMS
from mmproscale.utils.faults import refuse

IGNORE_LABEL = 255


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's `LoadImageFromFile`: adds `img` (H, W, 3) uint8 BGR, `img_shape`, `ori_shape`.

    Raises:
        InputError: the file is missing, empty, cut short or not an image, or its size is not the
            `height` and `width` that the dataset's item states.
    """

    def transform(self, results: dict) -> dict | None:
        """Load `results['img_path']`; see the class."""
        path = results["img_path"]
        try:
            loaded = super().transform(results)
        except (OSError, AssertionError, cv2.error) as error:
            refuse([unreadable("image", path, error)])
        if loaded is not None and {"height", "width"} <= results.keys():
            stated = (results["height"], results["width"])
            refuse(size_faults("image", path, loaded["ori_shape"], stated, "its annotation"))
        return loaded


@TRANSFORMS.register_module()
class LoadPanoptic(LoadPanopticAnnotations):
    """mmdet's `LoadPanopticAnnotations`, for PNGs of the image's own size.

    Adds `gt_bboxes` (N, 4), `gt_bboxes_labels` (N,) and `gt_masks` (N, H, W) of the N things that
    are not a crowd, in the order of `segments_info`. Adds `gt_seg_map` (H, W) int32, which holds
    labels, also of crowds, and 255 where nothing is annotated. `LoadImage` comes before it.

    Raises:
        InputError: the PNG is missing, unreadable, not 8-bit RGB or of another size than the image;
            the PNG and `segments_info` differ in ids, or in a stated `area` or `bbox`.
    """

    def _load_masks_and_semantic_segs(self, results: dict) -> None:
        path = results.get("seg_map_path")
        if path is None:  # an image without ground truth
            return
        ids = read_png(path, self.backend_args)
        height, width = results["ori_shape"]
        image = f"its image '{results['img_path']}'"
        refuse(size_faults("png", path, ids.shape, (height, width), image))
        segments = results["segments_info"]
        found = map_segments(ids, [segment["id"] for segment in segments])
        refuse(segment_faults(ids, found, segments, path))
        if self.with_mask:
            masks = [
                (found.places == place).astype(np.uint8)
                for place, segment in enumerate(segments, start=1)
                if segment["is_thing"]
            ]
            results["gt_masks"] = BitmapMasks(masks, height, width)
        if self.with_seg:
            labels = [IGNORE_LABEL, *(s["category"] for s in segments), IGNORE_LABEL]
            results["gt_seg_map"] = np.array(labels, ids.dtype)[found.places]


@TRANSFORMS.register_module()
class LoadSemanticFromPanoptic(LoadPanoptic):
    """Semantic map of a panoptic PNG, for mmseg's pipelines.

    Adds `gt_seg_map` as `LoadPanoptic` does, and names it in `seg_fields`. In mmseg's test
    pipelines it comes after `Resize`, since ground truth keeps its size.

    Raises:
        InputError: `LoadPanoptic` refuses the PNG, or the image has none.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(with_bbox=False, with_label=False, with_mask=False, **kwargs)

    def transform(self, results: dict) -> dict:
        """Load the PNG at `results['seg_map_path']`; see the class."""
        if results.get("seg_map_path") is None:
            raise InputError(
                f"image '{results['img_path']}' has no panoptic PNG, so no classes to learn or to "
                "test: annotate it, set data_prefix.seg, or leave it out of ann_file"
            )
        results = super().transform(results)
        results["seg_fields"] = ["gt_seg_map"]
        return results


@TRANSFORMS.register_module()
class LoadInstances(LoadAnnotations):
    """mmdet's `LoadAnnotations` with masks, for items of `InstanceDataset`.

    Adds `gt_bboxes` (N, 4), `gt_bboxes_labels` (N,), `gt_ignore_flags` (N,) and `gt_masks`
    (N, H, W) of the item's N instances. `LoadImage` comes before it.

    Args:
        kwargs: arguments of `LoadAnnotations`.

    Raises:
        InputError: a mask is not sound, or differs grossly from its `area` or box.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(with_mask=True, **kwargs)

    def _load_masks(self, results: dict) -> None:
        height, width = results["ori_shape"]
        for instance in results["instances"]:
            x1, y1, x2, y2 = instance["bbox"]
            annotation = dict(
                segmentation=instance.get("mask"),
                area=instance["area"],
                bbox=[x1, y1, x2 - x1, y2 - y1],
            )
            record = f"annotations[{instance['place']}]"
            refuse(mask_faults(annotation, height, width, results["ann_file"], record))
        super()._load_masks(results)
