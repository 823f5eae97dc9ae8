"""Place of an image in its batch, and masks resized from their size to the image's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

# Pixels of all masks that are resized at the same time, 16 MiB in fp32. On a CPU blocks of this
# size are reused by the process, while larger ones are allocated by the system page by page.
PIXELS_AT_ONCE = 2**22


@dataclass(frozen=True)
class ImageFrame:
    """Place of an image in its batch, and the size of its results.

    Args:
        padded: (H, W) of the batch.
        image: (H, W) of the image in it, from the top left.
        output: (H, W) of the results.
    """

    padded: tuple[int, int]
    image: tuple[int, int]
    output: tuple[int, int]

    @classmethod
    def from_metainfo(cls, metainfo: Mapping[str, Any], rescale: bool) -> ImageFrame:
        """Read a data sample's metainfo; with ``rescale`` results have the original size."""
        image = tuple(metainfo["img_shape"][:2])
        output = tuple(metainfo["ori_shape"][:2]) if rescale else image
        return cls(tuple(metainfo["batch_input_shape"]), image, output)

    def resize(self, masks: Tensor) -> Tensor:
        """Resize mask logits (N, h, w) of the batch to the results' size, (N, H, W) fp32.

        As in mmdet there are two steps: to the batch's size, then the image's part of it to the
        results' size. The result is in fp32, as half precision can't sum the pixels of a mask.
        """
        masks = _resize(masks.float(), self.padded)
        return _resize(masks[:, : self.image[0], : self.image[1]], self.output)

    def resized_chunks(self, masks: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield (slice of N, masks of it after :meth:`resize`), some masks at a time.

        The caller may overwrite the masks.
        """
        height, width = self.output
        step = max(1, PIXELS_AT_ONCE // (height * width))
        for start in range(0, len(masks), step):
            part = slice(start, start + step)
            resized = self.resize(masks[part])
            same_memory = resized.data_ptr() == masks[part].data_ptr()
            yield part, resized.clone() if same_memory else resized


def _resize(masks: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(masks.shape[-2:]) == tuple(size):  # bilinear resizing would change nothing
        return masks
    return F.interpolate(masks[None], size, mode="bilinear", align_corners=False)[0]
