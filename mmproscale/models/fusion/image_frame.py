"""From the size of mask logits to that of the image, some masks at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

# Pixels of the masks that are at the image's size at once: 16 MiB in fp32. On a CPU that much stays
# with the process, while larger pieces come anew from the system, page by page.
PIXELS_AT_ONCE = 2**22


@dataclass(frozen=True)
class ImageFrame:
    """Where an image lies in its batch, and the size of its results.

    Args:
        padded: (H, W) of the batch.
        image: (H, W) of the image in it, from the top left.
        output: (H, W) of the results.
    """

    padded: tuple[int, int]
    image: tuple[int, int]
    output: tuple[int, int]

    @classmethod
    def of(cls, metainfo: Mapping[str, Any], rescale: bool) -> ImageFrame:
        """From a data sample's metainfo; results have the original size, or with ``rescale`` False
        that of the image in the batch."""
        image = tuple(metainfo["img_shape"][:2])
        output = tuple(metainfo["ori_shape"][:2]) if rescale else image
        return cls(tuple(metainfo["batch_input_shape"]), image, output)

    def resize(self, masks: Tensor) -> Tensor:
        """Mask logits (N, h, w) of the batch at the results' size, (N, H, W) fp32.

        In two steps, as mmdet's: to the batch's size, and the image's part of that to the results'.
        Half precision ends here: it can't add up the pixels of a mask.
        """
        masks = _resize(masks.float(), self.padded)
        return _resize(masks[:, : self.image[0], : self.image[1]], self.output)

    def resized_chunks(self, masks: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """:meth:`resize` some masks at a time, with the slice of N that they are.

        What is yielded may be overwritten.
        """
        height, width = self.output
        step = max(1, PIXELS_AT_ONCE // (height * width))
        for start in range(0, len(masks), step):
            part = slice(start, start + step)
            resized = self.resize(masks[part])
            same_memory = resized.data_ptr() == masks[part].data_ptr()
            yield part, resized.clone() if same_memory else resized


def _resize(masks: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(masks.shape[-2:]) == tuple(size):  # bilinear resizing changes nothing then
        return masks
    return F.interpolate(masks[None], size, mode="bilinear", align_corners=False)[0]
