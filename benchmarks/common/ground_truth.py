"""Images of noise with plausible masks: rectangles and ellipses in front of bands of stuff."""

from __future__ import annotations

import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData
from torch import Generator, Tensor

NUM_THINGS, NUM_BANDS = 7, 3


def random_batch(
    batch: int, size: tuple[int, int], things: int, stuff: int, seed: int = 0
) -> dict[str, list]:
    """Return a data loader's batch: images (3, H, W) of bytes, and data samples.

    Args:
        batch: Number of images.
        size: (H, W).
        things: Number of thing classes, which come first.
        stuff: Number of stuff classes.
        seed: Seed of the random numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (3, *size)
    images = [
        torch.randint(256, shape, generator=generator, dtype=torch.uint8) for _ in range(batch)
    ]
    samples = [random_sample(size, things, stuff, generator) for _ in range(batch)]
    return {"inputs": images, "data_samples": samples}


def random_sample(
    size: tuple[int, int], things: int, stuff: int, generator: Generator
) -> DetDataSample:
    """Return a sample with some things, later ones in front, and bands of stuff behind them."""
    semantic = bands(size, things, stuff, generator)
    labels = torch.randint(things, (NUM_THINGS,), generator=generator)
    masks: list[Tensor] = []
    for number, label in enumerate(labels):
        new = shape(size, number % 2 == 1, generator)
        masks = [mask & ~new for mask in masks] + [new]
        semantic[new] = label
    kept = [bool(mask.any()) for mask in masks]  # a hidden thing has no mask
    visible = torch.stack(masks)[kept].numpy().astype("uint8")
    sample = DetDataSample(metainfo={"img_shape": size, "ori_shape": size})
    sample.gt_instances = InstanceData(labels=labels[kept], masks=BitmapMasks(visible, *size))
    sample.gt_sem_seg = PixelData(sem_seg=semantic[None])
    return sample


def bands(size: tuple[int, int], things: int, stuff: int, generator: Generator) -> Tensor:
    """Return a map (H, W) with labels of different stuff from top to bottom."""
    labels = things + torch.randperm(stuff, generator=generator)[:NUM_BANDS]
    rows = torch.arange(size[0]) * len(labels) // size[0]
    return labels[rows][:, None].repeat(1, size[1])


def shape(size: tuple[int, int], ellipse: bool, generator: Generator) -> Tensor:
    """Return a map (H, W) that is true in a rectangle or ellipse, 1/8 to 1/2 of each side."""
    extent = torch.tensor(size)
    radius = extent * (1 + 3 * torch.rand(2, generator=generator)) / 16
    centre = extent * torch.rand(2, generator=generator)
    y = (torch.arange(size[0]) - centre[0])[:, None] / radius[0]
    x = (torch.arange(size[1]) - centre[1])[None] / radius[1]
    return x**2 + y**2 <= 1 if ellipse else (x.abs() <= 1) & (y.abs() <= 1)
