"""Rules that fit a recipe to other data and another machine, and the choices that follow.

A recipe (:class:`base_configs.Recipe`) states how one of our configs trains on its own dataset.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from mmproscale.errors import InputError
from mmproscale.own_data.base_configs import BaseConfig, Recipe
from mmproscale.own_data.dataset_reading import CheckedData
from mmproscale.own_data.layouts import BOXES
from mmproscale.own_data.memory_fit import MemoryFit, fit_memory
from mmproscale.own_data.starting_weights import Start, choose_start, freeze
from mmproscale.utils.words import plural

Size = tuple[int, int]  # width, height
DIVISOR = 32  # of sides: the coarsest map has a 32nd of the image's side
SMALLEST_CROP = 128
# Sizes of Cityscapes. Among Mask2Former's recipes only COCO, with its padded jitter, has larger.
MOST_IMAGE_PIXELS = 2048 * 1024
MOST_CROP_PIXELS = 1024 * 512
# On COCO the rate falls to a tenth and to a hundredth at these parts of the training.
MILESTONES = (327778 / 368750, 355092 / 368750)
VALIDATIONS = 20
FEWEST_BETWEEN = 10  # iterations between validations, which draw pictures and write checkpoints
LOG_INTERVAL = 50  # of our recipes, in iterations
# Longer training of few images only repeats them; a trained model needs less of it.
MOST_EPOCHS, MOST_EPOCHS_OF_TRAINED = 300, 100
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


def make_batch(wanted: int, gpus: int, fitting: int, least: int = 1) -> Batch:
    """Return the batch nearest to the wanted one; accumulation replaces images that do not fit.

    Args:
        wanted: Images in a step.
        gpus: Number of GPUs; 0 for a CPU.
        fitting: Images that fit into the memory of one GPU, at least ``least``.
        least: Number of images that the model needs at once.
    """
    gpus = max(1, gpus)
    per_gpu = max(least, min(_power_of_two(fitting), _power_of_two(wanted / gpus)))
    return Batch(per_gpu, gpus, max(1, round(wanted / (gpus * per_gpu))))


def exact_batch(wanted: int, gpus: int, fitting: int, least: int = 1) -> Batch:
    """Return exactly the batch that the user wants, with as many images at once as fit.

    Raises:
        InputError: The GPUs cannot share it, or the model needs more images at once.
    """
    gpus = max(1, gpus)
    share, rest = divmod(wanted, gpus)
    if rest or share < least:
        raise InputError(
            f"--batch {wanted} is not a multiple of {gpus * least}: the images that "
            f"{plural(gpus, 'GPU')} need at once"
        )
    per_gpu = max(n for n in range(least, share + 1) if share % n == 0 and n <= max(fitting, least))
    return Batch(per_gpu, gpus, share // per_gpu)


def scaled_rate(recipe: Recipe, batch: int) -> float:
    """Return the recipe's rate times the square root of the batches' ratio, to three digits.

    The size of AdamW's steps does not depend on the batch, only their noise does. The square root
    keeps the noise of an epoch constant (Malladi et al., On the SDEs and Scaling Rules for
    Adaptive Gradient Algorithms, 2022). SGD's linear rule would give large batches too high a rate
    and small ones too low a rate.
    """
    return float(f"{recipe.rate * math.sqrt(batch / recipe.batch):.3g}")


def images_seen(recipe: Recipe, images: int) -> float:
    """Return the images seen in training, which grow with the square root of the dataset's size.

    By this rule COCO's 368,750 steps become 152,000 for ADE20K, where Mask2Former takes 160,000,
    and 58,000 for Cityscapes, where it takes 90,000.
    """
    return recipe.steps * recipe.batch * math.sqrt(images / recipe.images)


def training_steps(recipe: Recipe, images: int, batch: int, most_epochs: int = MOST_EPOCHS) -> int:
    """Return the steps of the optimizer; small data stays within a number of epochs."""
    seen = min(images_seen(recipe, images), most_epochs * images)
    return max(VALIDATIONS, round(seen / batch))


def most_epochs(start: Start) -> int:
    """Return the largest number of epochs of small data."""
    return MOST_EPOCHS_OF_TRAINED if start.whole else MOST_EPOCHS


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
    """Options of the command line that decide how to train; None leaves a choice to the rules.

    Args:
        gpus: Number of GPUs; 0 for a CPU.
        memory: Memory of each GPU, or of the machine, in GiB.
        amp: Train in mixed precision.
        from_scratch: Start without weights.
        load_from: Checkpoint to start from.
        backbone_only: Start from the backbone's weights, also if there are few images.
        frozen_backbone: Keep the backbone's weights.
        balance_classes: Weigh rare classes more.
        image_size: (width, height) at which images are read.
        crop: (width, height) of the training's crops.
        batch: Images in a step of the optimizer.
        iterations: Length of the training as mmengine counts it.
        epochs: The same in passes over the training images.
    """

    gpus: int
    memory: float
    amp: bool = False
    from_scratch: bool = False
    load_from: str | None = None
    backbone_only: bool = False
    frozen_backbone: bool = False
    balance_classes: bool = False
    image_size: Sequence[int] | None = None
    crop: Sequence[int] | None = None
    batch: int | None = None
    iterations: int | None = None
    epochs: int | None = None

    @property
    def machine(self) -> str:
        """Text that describes the machine."""
        if not self.gpus:
            return f"a CPU with {self.memory:g} GiB"
        return f"{plural(self.gpus, 'GPU')} of {self.memory:g} GiB"


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
        start: Weights that the training starts from.
        backbone: Changes of the base's backbone.
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
    start: Start
    backbone: Mapping[str, Any]

    @property
    def milestones(self) -> list[int]:
        """Iterations at which the rate falls."""
        return [round(share * self.iterations) for share in MILESTONES]

    @property
    def warm_up(self) -> int:
        """Iterations of rising rate: a twentieth of all, at most 1,000 steps."""
        return max(1, min(self.iterations // 20, 1000 * self.batch.accumulate))

    @property
    def interval(self) -> int:
        """Iterations between two validations; the last iteration has one, too.

        There are 20, but on at most half as many images as are trained on, and at least ten
        iterations apart.
        """
        facts = self.data.facts
        affordable = self.epochs * facts.train_images / (2 * facts.val_images)
        often = max(1, min(VALIDATIONS, int(affordable)))
        return max(1, self.iterations // often, min(FEWEST_BETWEEN, self.iterations))

    @property
    def validations(self) -> int:
        """Number of validations."""
        return math.ceil(self.iterations / self.interval)

    @property
    def log_interval(self) -> int:
        """Iterations between two lines of the log: at most 50, and one line for each validation."""
        return min(LOG_INTERVAL, self.interval)

    @property
    def epochs(self) -> float:
        """Passes over the training images."""
        seen = self.iterations * self.batch.per_gpu * self.batch.gpus
        return seen / self.data.facts.train_images


def choose(base: BaseConfig, options: TrainingOptions, data: CheckedData) -> Choices:
    """Apply the rules to a base, a dataset and a machine, and the options where they are stated.

    Raises:
        InputError: No image fits into the memory; an option does not fit, such as class weights
            of a detector.
    """
    recipe, facts = base.recipe, data.facts
    if options.balance_classes and facts.kind == BOXES:
        raise InputError("--balance-classes: a detector's loss has no class weights; leave it out")
    start = choose_start(
        base, facts, options.load_from, options.from_scratch, options.backbone_only
    )
    backbone = freeze(base, start) if options.frozen_backbone else start.backbone
    image_size = _pair(options.image_size) or working_size(facts.size)
    crop = _pair(options.crop)
    if crop and any(side % DIVISOR for side in crop):
        width, height = (max(DIVISOR, round(side / DIVISOR) * DIVISOR) for side in crop)
        raise InputError(
            f"--crop {crop[0]} {crop[1]}: both must be multiples of {DIVISOR}, e.g. "
            f"--crop {width} {height}"
        )
    network = base.network(facts, backbone)
    fit = fit_memory(
        network, [crop] if crop else crop_sizes(image_size), options.memory, options.amp
    )
    wanted = wanted_batch(facts.train_images, recipe)
    batch = (
        exact_batch(options.batch, options.gpus, fit.images, fit.least)
        if options.batch
        else make_batch(wanted, options.gpus, fit.images, fit.least)
    )
    return Choices(
        base=base,
        options=options,
        data=data,
        image_size=image_size,
        fit=fit,
        batch=batch,
        rate=scaled_rate(recipe, batch.total),
        iterations=_length(options, recipe, facts.train_images, batch, start),
        class_weights=balanced_weights(facts.counts) if options.balance_classes else None,
        start=start,
        backbone=backbone,
    )


def _pair(size: Sequence[int] | None) -> Size | None:
    return (size[0], size[1]) if size else None


def _length(
    options: TrainingOptions, recipe: Recipe, images: int, batch: Batch, start: Start
) -> int:
    """Return the iterations: the user's, in whole steps of the optimizer, or the rule's."""
    at_once = batch.per_gpu * batch.gpus
    if options.epochs:
        wanted = math.ceil(options.epochs * images / at_once)
        return math.ceil(wanted / batch.accumulate) * batch.accumulate
    if options.iterations:
        return options.iterations
    steps = training_steps(recipe, images, batch.total, most_epochs(start))
    return iterations(steps, batch.accumulate)
