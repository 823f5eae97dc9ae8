"""Random class and mask logits for fusion."""

import torch
from torch import Tensor

from mmproscale.models.fusion.image_frame import ImageFrame

FRAME = ImageFrame((8, 12), (8, 12), (8, 12))


def random_case(seed: int) -> tuple[Tensor, Tensor, ImageFrame, int, int]:
    """Return logits (Q, C + 1) and (Q, h, w), a frame, numbers of things and stuff classes.

    Some masks are flat.
    """
    g = torch.Generator().manual_seed(seed)

    def pick(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=g))

    things, stuff, queries = pick(0, 3), pick(0, 3), pick(1, 12)
    stuff += things + stuff == 0
    h, w = pick(2, 6), pick(2, 6)
    padded = 4 * h, 4 * w
    image = pick(1, padded[0]), pick(1, padded[1])
    frame = ImageFrame(padded, image, (pick(1, 30), pick(1, 30)))
    classes = 4 * torch.randn(queries, things + stuff + 1, generator=g)
    masks = 3 * torch.randn(queries, h, w, generator=g)
    masks[torch.rand(queries, generator=g) < 0.2] = -5.0
    return classes, masks, frame, things, stuff
