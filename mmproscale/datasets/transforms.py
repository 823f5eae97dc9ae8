"""Load an image and its panoptic PNG, with one clear line for a file that is broken."""

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets.transforms import LoadPanopticAnnotations
from mmdet.structures.mask import BitmapMasks
from mmengine.fileio import get

from mmproscale.errors import InputError
from mmproscale.registry import TRANSFORMS

IGNORE_LABEL = 255


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's `LoadImageFromFile`: adds `img` (H, W, 3) uint8 BGR, `img_shape`, `ori_shape`.

    Raises:
        InputError: the file is missing, empty, cut short or no image.
    """

    def transform(self, results: dict) -> dict | None:
        """Load `results['img_path']`; see the class."""
        path = results["img_path"]
        try:
            return super().transform(results)
        except (OSError, AssertionError, cv2.error) as error:
            raise _unreadable("image", path, error) from None


@TRANSFORMS.register_module()
class LoadPanoptic(LoadPanopticAnnotations):
    """mmdet's `LoadPanopticAnnotations`, for PNGs of the image's own size.

    Adds `gt_bboxes` (N, 4), `gt_bboxes_labels` (N,) and `gt_masks` (N, H, W) of the N things that
    are no crowd, in the order of `segments_info`, and `gt_seg_map` (H, W) int32, whose values are
    labels: those of crowds too, 255 where nothing is annotated. `LoadImage` comes before it.

    Raises:
        InputError: the PNG is missing, unreadable, or of another size than the image.
    """

    def _load_masks_and_semantic_segs(self, results: dict) -> None:
        path = results.get("seg_map_path")
        if path is None:  # an image without ground truth
            return
        ids = self._read_ids(path)
        height, width = results["ori_shape"]
        if ids.shape != (height, width):
            raise InputError(
                f"panoptic PNG '{path}' is {ids.shape[1]}x{ids.shape[0]} pixels but its image "
                f"'{results['img_path']}' is {width}x{height}: they must be of one size"
            )
        seg_map = np.full_like(ids, IGNORE_LABEL)
        masks = []
        for segment in results["segments_info"]:
            mask = ids == segment["id"]
            seg_map[mask] = segment["category"]
            if segment["is_thing"]:
                masks.append(mask.astype(np.uint8))
        if self.with_mask:
            results["gt_masks"] = BitmapMasks(masks, height, width)
        if self.with_seg:
            results["gt_seg_map"] = seg_map

    def _read_ids(self, path: str) -> np.ndarray:
        """Return the segment id of every pixel, (H, W) int32: R + 256 G + 65536 B."""
        try:
            image = mmcv.imfrombytes(
                get(path, backend_args=self.backend_args), flag="color", channel_order="rgb"
            )
        except (OSError, cv2.error) as error:
            raise _unreadable("panoptic PNG", path, error) from None
        if image is None:
            raise _unreadable("panoptic PNG", path, None)
        return self.rgb2id(image)


def _unreadable(what: str, path: str, error: Exception | None) -> InputError:
    reason = getattr(error, "strerror", None) or "it is empty, cut short or not an image"
    return InputError(f"{what} '{path}' cannot be read: {reason}; replace or remove it")
