"""Rules that fit a recipe to other data and another machine, and the choices that follow.

A recipe (:class:`base_configs.Recipe`) states how one of our configs trains on its own dataset.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from mmproscale.errors import InputError
from mmproscale.own_data.base_configs import BaseConfig, Recipe
from mmproscale.own_data.dataset_reading import CheckedData
from mmproscale.own_data.layouts import BOXES
from mmproscale.own_data.memory_fit import MemoryFit, fit_memory

Size = tuple[int, int]  # width, height
DIVISOR = 32  # of sides: the coarsest map has a 32nd of the image's side
SMALLEST_CROP = 128
# Sizes of Cityscapes. Among Mask2Former's recipes only COCO, with its padded jitter, has larger.
MOST_IMAGE_PIXELS = 2048 * 1024
MOST_CROP_PIXELS = 1024 * 512
# On COCO the rate falls to a tenth and to a hundredth at these parts of the training.
MILESTONES = (327778 / 368750, 355092 / 368750)
VALIDATIONS = 20
MOST_CLASS_WEIGHT = 4.0


@dataclass(frozen=True)
class Batch:
    """Batch and its parts.

    Args:
        per_gpu: Images that a GPU holds at once.
        gpus: Number of GPUs; 1 for a CPU.
        accumulate: Batches whose gradients are added before a step.
    """

    per_gpu: int
    gpus: int
    accumulate: int

    @property
    def total(self) -> int:
        """Images in a step of the optimizer."""
        return self.per_gpu * self.gpus * self.accumulate


def wanted_batch(images: int, recipe: Recipe) -> int:
    """Return the recipe's batch; for tiny data, a power of two that makes four steps an epoch."""
    return min(recipe.batch, _power_of_two(images / 4))


def make_batch(wanted: int, gpus: int, fitting: int) -> Batch:
    """Return the batch nearest to the wanted one; accumulation replaces images that do not fit.

    Args:
        wanted: Images in a step.
        gpus: Number of GPUs; 0 for a CPU.
        fitting: Images that fit into the memory of one GPU, at least 1.
    """
    gpus = max(1, gpus)
    per_gpu = min(_power_of_two(fitting), _power_of_two(wanted / gpus))
    return Batch(per_gpu, gpus, max(1, round(wanted / (gpus * per_gpu))))


def scaled_rate(recipe: Recipe, batch: int) -> float:
    """Return the recipe's rate times the square root of the batches' ratio, to three digits.

    The size of AdamW's steps does not depend on the batch, only their noise does. The square root
    keeps the noise of an epoch constant (Malladi et al., On the SDEs and Scaling Rules for
    Adaptive Gradient Algorithms, 2022). SGD's linear rule would give large batches too high a rate
    and small ones too low a rate.
    """
    return float(f"{recipe.rate * math.sqrt(batch / recipe.batch):.3g}")


def training_steps(recipe: Recipe, images: int, batch: int) -> int:
    """Return the steps of the optimizer.

    The number of images seen in training grows with the square root of the dataset's size. By this
    rule COCO's 368,750 steps become 152,000 for ADE20K, where Mask2Former takes 160,000, and 58,000
    for Cityscapes, where it takes 90,000.
    """
    seen = recipe.steps * recipe.batch * math.sqrt(images / recipe.images)
    return max(VALIDATIONS, round(seen / batch))


def iterations(steps: int, accumulate: int) -> int:
    """Return mmengine's iterations: accumulated batches, rounded to two digits, divisible by 20."""
    count = steps * accumulate
    unit = 10 ** max(0, len(str(count)) - 2)
    return max(1, math.ceil(round(count / unit) * unit / VALIDATIONS)) * VALIDATIONS


def working_size(size: Size) -> Size:
    """Return the size at which images are read: their own, but at most Cityscapes' area."""
    factor = min(1.0, math.sqrt(MOST_IMAGE_PIXELS / (size[0] * size[1])))
    width, height = (max(1, round(side * factor)) for side in size)
    return width, height


def crop_sizes(size: Size) -> Iterator[Size]:
    """Yield crops in the shape of an image, the largest first, each an eighth smaller.

    The first is the image itself, but at most the area of Cityscapes' crops. Sides are multiples
    of 32.
    """
    factor = min(1.0, math.sqrt(MOST_CROP_PIXELS / (size[0] * size[1])))
    last = None
    while last is None or max(last) > SMALLEST_CROP:
        width, height = (max(DIVISOR, round(s * factor / DIVISOR) * DIVISOR) for s in size)
        crop = width, height
        if crop != last:
            yield crop
        last, factor = crop, factor * 7 / 8


def balanced_weights(counts: Sequence[int]) -> tuple[float, ...]:
    """Return for each class the square root of the median count over its count, from 1 to 4.

    Common classes keep the recipe's 1, so that 'no object' weighs the same against them. A class
    that never occurs gets 1 too.
    """
    known = [count for count in counts if count]
    middle = median(known) if known else 1
    raised = (math.sqrt(middle / count) if count else 1.0 for count in counts)
    return tuple(round(min(MOST_CLASS_WEIGHT, max(1.0, weight)), 2) for weight in raised)


def _power_of_two(number: float) -> int:
    """Return the largest power of two that is at most the number; at least 1."""
    return 2 ** int(math.log2(number)) if number >= 1 else 1


@dataclass(frozen=True)
class TrainingOptions:
    """Options of the command line that decide how to train.

    Args:
        gpus: Number of GPUs; 0 for a CPU.
        memory: Memory of each GPU, or of the machine, in GiB.
        amp: Train in mixed precision.
        from_scratch: Start without weights.
        load_from: Checkpoint to start from.
        balance_classes: Weigh rare classes more.
    """

    gpus: int
    memory: float
    amp: bool = False
    from_scratch: bool = False
    load_from: str | None = None
    balance_classes: bool = False

    @property
    def machine(self) -> str:
        """Text that describes the machine."""
        if not self.gpus:
            return f"a CPU with {self.memory:g} GiB"
        return f"{self.gpus} GPU{'s' * (self.gpus > 1)} of {self.memory:g} GiB"


@dataclass(frozen=True)
class Choices:
    """All choices that a new config is written from.

    Args:
        base: Config to inherit from.
        options: Options of the command line.
        data: The dataset.
        image_size: (width, height) at which images are read.
        fit: Crop, and memory that it takes.
        batch: Batch and its parts.
        rate: Learning rate.
        iterations: Length of the training as mmengine counts it.
        class_weights: Weight of each class; None for the recipe's 1.
    """

    base: BaseConfig
    options: TrainingOptions
    data: CheckedData
    image_size: Size
    fit: MemoryFit
    batch: Batch
    rate: float
    iterations: int
    class_weights: tuple[float, ...] | None

    @property
    def milestones(self) -> list[int]:
        """Iterations at which the rate falls."""
        return [round(share * self.iterations) for share in MILESTONES]

    @property
    def warm_up(self) -> int:
        """Iterations of rising rate: a twentieth of all, at most 1,000 steps."""
        return min(self.iterations // 20, 1000 * self.batch.accumulate)

    @property
    def interval(self) -> int:
        """Iterations between two validations."""
        return self.iterations // VALIDATIONS


def choose(base: BaseConfig, options: TrainingOptions, data: CheckedData) -> Choices:
    """Apply the rules to a base, a dataset and a machine.

    Raises:
        InputError: No image fits into the memory, or class weights are asked of a detector.
    """
    recipe, facts = base.recipe, data.facts
    if options.balance_classes and facts.kind == BOXES:
        raise InputError("--balance-classes: a detector's loss has no class weights; leave it out")
    image_size = working_size(facts.size)
    network = base.network(facts, options.from_scratch)
    fit = fit_memory(network, crop_sizes(image_size), options.memory, options.amp)
    batch = make_batch(wanted_batch(facts.train_images, recipe), options.gpus, fit.images)
    steps = training_steps(recipe, facts.train_images, batch.total)
    return Choices(
        base=base,
        options=options,
        data=data,
        image_size=image_size,
        fit=fit,
        batch=batch,
        rate=scaled_rate(recipe, batch.total),
        iterations=iterations(steps, batch.accumulate),
        class_weights=balanced_weights(facts.counts) if options.balance_classes else None,
    )
