"""The rules by which a recipe is fitted to other data and another machine: numbers in, numbers out.

A recipe (:class:`Recipe`) is what a config of ours does on its own dataset.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

# What a size is rounded to: the coarsest map is a 32nd of the image.
DIVISOR = 32
SMALLEST_CROP = 128
# Cityscapes' images and crops, the largest of Mask2Former's recipes but for COCO's padded jitter.
MOST_IMAGE_PIXELS = 2048 * 1024
MOST_CROP_PIXELS = 1024 * 512
# Where the rate falls to a tenth, and to a hundredth, on COCO: 327778 and 355092 of 368750.
MILESTONES = (327778 / 368750, 355092 / 368750)
VALIDATIONS = 20
MOST_CLASS_WEIGHT = 4.0


@dataclass(frozen=True)
class Recipe:
    """How a config trains on the dataset it is made for.

    Args:
        batch: images in a step of the optimizer, over all GPUs.
        rate: the learning rate for that.
        steps: of the optimizer, in all.
        images: that its training set has.
    """

    batch: int
    rate: float
    steps: int
    images: int


@dataclass(frozen=True)
class Batch:
    """How a batch comes about.

    Args:
        per_gpu: images that a GPU holds at once.
        gpus: how many; 1 for a CPU.
        accumulate: batches whose gradients are added before a step.
    """

    per_gpu: int
    gpus: int
    accumulate: int

    @property
    def total(self) -> int:
        """Images in a step."""
        return self.per_gpu * self.gpus * self.accumulate


def wanted_batch(images: int, recipe: Recipe) -> int:
    """The recipe's batch; for tiny data the power of two that still makes four steps an epoch."""
    return min(recipe.batch, _power_of_two(images / 4))


def make_batch(wanted: int, gpus: int, fitting: int) -> Batch:
    """The batch nearest to the wanted one: as many images at once as fit, the rest accumulated.

    Args:
        wanted: images in a step.
        gpus: how many; 0 is a CPU.
        fitting: images that fit into one's memory, at least 1.
    """
    gpus = max(1, gpus)
    per_gpu = min(_power_of_two(fitting), _power_of_two(wanted / gpus))
    return Batch(per_gpu, gpus, max(1, round(wanted / (gpus * per_gpu))))


def scaled_rate(recipe: Recipe, batch: int) -> float:
    """The recipe's rate times the square root of the batches' ratio, to three digits.

    AdamW's steps do not grow with the gradient, only its noise falls with the batch: the square
    root keeps the noise of a whole epoch (Malladi et al., On the SDEs and Scaling Rules for
    Adaptive Gradient Algorithms, 2022). SGD's linear rule would be too much for large batches and
    too little for small ones.
    """
    return float(f"{recipe.rate * math.sqrt(batch / recipe.batch):.3g}")


def training_steps(recipe: Recipe, images: int, batch: int) -> int:
    """Steps of the optimizer, for as many images seen as the data's size asks for.

    The images that a recipe sees grow with the square root of its dataset: by that rule COCO's
    368,750 steps are 152,000 for ADE20K, where Mask2Former takes 160,000, and 58,000 for
    Cityscapes, where it takes 90,000.
    """
    seen = recipe.steps * recipe.batch * math.sqrt(images / recipe.images)
    return max(VALIDATIONS, round(seen / batch))


def iterations(steps: int, accumulate: int) -> int:
    """mmengine's iterations, one for each batch that is accumulated; two digits, in 20 parts."""
    count = steps * accumulate
    unit = 10 ** max(0, len(str(count)) - 2)
    return max(1, math.ceil(round(count / unit) * unit / VALIDATIONS)) * VALIDATIONS


def milestones(iterations: int) -> tuple[int, int]:
    """Where the rate falls."""
    first, second = (round(share * iterations) for share in MILESTONES)
    return first, second


def warm_up(iterations: int, accumulate: int) -> int:
    """Iterations of rising rate: a twentieth of all, at most 1,000 steps."""
    return min(iterations // 20, 1000 * accumulate)


def working_size(size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) at which images are read: as they are, but no larger than Cityscapes'."""
    factor = min(1.0, math.sqrt(MOST_IMAGE_PIXELS / (size[0] * size[1])))
    width, height = (max(1, round(side * factor)) for side in size)
    return width, height


def crop_sizes(size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Crops (width, height) in the shape of an image, the largest first, each an eighth smaller.

    The first is the image, no larger than Cityscapes' crops. Sides are whole multiples of 32.
    """
    factor = min(1.0, math.sqrt(MOST_CROP_PIXELS / (size[0] * size[1])))
    last = None
    while last is None or max(last) > SMALLEST_CROP:
        width, height = (max(DIVISOR, round(s * factor / DIVISOR) * DIVISOR) for s in size)
        crop = width, height
        if crop != last:
            yield crop
        last, factor = crop, factor * 7 / 8


def images_that_fit(memory: float, fixed: float, per_image: float) -> int:
    """How many images fit into a memory of which a part is taken; all in one unit."""
    return max(0, int((memory - fixed) / per_image))


def balanced_weights(counts: Sequence[int]) -> tuple[float, ...]:
    """For each class the inverse square root of how often it occurs against the median, 1 to 4.

    Common classes keep the recipe's 1, so that 'no object' weighs the same against them. A class
    that never occurs has 1 too: there is nothing that its weight could help.
    """
    known = [count for count in counts if count]
    middle = median(known) if known else 1
    raised = (math.sqrt(middle / count) if count else 1.0 for count in counts)
    return tuple(round(min(MOST_CLASS_WEIGHT, max(1.0, weight)), 2) for weight in raised)


def _power_of_two(number: float) -> int:
    """The largest that is not larger; at least 1."""
    return 2 ** int(math.log2(number)) if number >= 1 else 1
