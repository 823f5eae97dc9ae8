"""Rules: their values for the recipe's own data, and for other data, GPUs and memory."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.own_data import checked_data, make_choices

from mmproscale.errors import InputError
from mmproscale.own_data import choices
from mmproscale.own_data.base_configs import Recipe, find_base
from mmproscale.own_data.choices import Batch, TrainingOptions

COCO = Recipe(batch=16, rate=1e-4, steps=368750, images=118287)


def test_the_recipes_own_data_gets_the_recipe():
    batch = choices.make_batch(choices.wanted_batch(COCO.images, COCO), gpus=8, fitting=2)
    assert batch == Batch(per_gpu=2, gpus=8, accumulate=1) and batch.total == COCO.batch
    assert choices.scaled_rate(COCO, batch.total) == COCO.rate
    assert choices.training_steps(COCO, COCO.images, batch.total) == COCO.steps


@pytest.mark.parametrize(("images", "published"), [(20210, 160000), (2975, 90000)])
def test_steps_are_near_those_of_other_published_recipes(images, published):
    assert 0.6 < choices.training_steps(COCO, images, 16) / published < 1.1


@pytest.mark.parametrize(
    ("gpus", "fitting", "expected"),
    [
        (1, 1, Batch(1, 1, 16)),
        (1, 5, Batch(4, 1, 4)),
        (1, 99, Batch(16, 1, 1)),
        (0, 2, Batch(2, 1, 8)),
        (4, 3, Batch(2, 4, 2)),
        (3, 8, Batch(4, 3, 1)),
        (32, 8, Batch(1, 32, 1)),
    ],
)
def test_accumulation_replaces_images_that_do_not_fit(gpus, fitting, expected):
    assert choices.make_batch(16, gpus, fitting) == expected


def test_tiny_data_gets_a_smaller_batch_and_rate_and_sees_as_many_images():
    wanted = choices.wanted_batch(20, COCO)
    assert wanted == 4
    assert choices.wanted_batch(2, COCO) == 1
    assert choices.scaled_rate(COCO, wanted) == pytest.approx(COCO.rate / 2)
    seen = [choices.training_steps(COCO, 20, batch) * batch for batch in (4, 16)]
    assert seen[0] == pytest.approx(seen[1], rel=1e-3)


@pytest.mark.parametrize("steps", [20, 137, 999, 20540, 368750])
@pytest.mark.parametrize("accumulate", [1, 8])
def test_iterations_are_round_and_make_whole_parts(steps, accumulate, tmp_path):
    count = choices.iterations(steps, accumulate)
    assert count == pytest.approx(steps * accumulate, rel=0.08)
    chosen = with_iterations(count, accumulate, tmp_path)
    assert count % choices.VALIDATIONS == 0
    first, second = chosen.milestones
    assert chosen.warm_up < first < second < count
    assert chosen.warm_up <= 1000 * accumulate


def with_iterations(count: int, accumulate: int, root: Path) -> choices.Choices:
    chosen = make_choices(checked_data("panoptic", root))
    return replace(chosen, iterations=count, batch=Batch(1, 1, accumulate))


def test_the_rate_falls_as_on_coco(tmp_path):
    assert with_iterations(COCO.steps, 1, tmp_path).milestones == [327778, 355092]


def test_crops_fall_in_the_images_shape_to_a_small_one():
    crops = list(choices.crop_sizes((2048, 1024)))
    assert crops[0] == (1024, 512)
    assert all(width == 2 * height for width, height in crops[:3])
    assert all(side % 32 == 0 for crop in crops for side in crop)
    areas = [width * height for width, height in crops]
    assert areas == sorted(areas, reverse=True) and len(set(crops)) == len(crops)
    assert max(crops[-1]) <= choices.SMALLEST_CROP


def test_small_images_are_the_crop_and_huge_ones_shrink():
    assert next(choices.crop_sizes((96, 64))) == (96, 64)
    assert choices.working_size((480, 360)) == (480, 360)
    width, height = choices.working_size((8000, 6000))
    assert width * height <= choices.MOST_IMAGE_PIXELS + width
    assert width / height == pytest.approx(4 / 3, rel=1e-2)


def test_rare_classes_weigh_more_within_limits():
    weights = choices.balanced_weights([1000, 100, 25, 1, 0])
    middle = math.sqrt(62.5 / 25)
    assert weights == (1.0, 1.0, round(middle, 2), 4.0, 1.0)
    assert choices.balanced_weights([0, 0]) == (1.0, 1.0)


def test_choices_follow_from_base_data_and_machine(tmp_path):
    data = checked_data("semantic", tmp_path)
    data = replace(data, facts=replace(data.facts, size=(96, 64)))
    base = find_base("proscale_m2f_r18", "semantic")
    options = TrainingOptions(gpus=2, memory=1.5, from_scratch=True, balance_classes=True)
    chosen = choices.choose(base, options, data)
    assert chosen.image_size == chosen.fit.crop == (96, 64)
    assert base.recipe.batch == 4 and chosen.batch == Batch(per_gpu=2, gpus=2, accumulate=1)
    assert chosen.rate == base.recipe.rate
    # 300 epochs of 100 images in batches of 4; the recipe's rule would give 10,440.
    assert chosen.iterations == 7500 and chosen.epochs == pytest.approx(300)
    assert chosen.class_weights == (1.0, 2.0, 1.0)


def test_a_detector_has_no_class_weights(tmp_path):
    data, base = checked_data("boxes", tmp_path), find_base("dino_r18", "boxes")
    options = TrainingOptions(gpus=0, memory=4, balance_classes=True)
    with pytest.raises(InputError, match="--balance-classes: a detector's loss has no"):
        choices.choose(base, options, data)


def test_a_short_training_has_few_validations(tmp_path):
    """Validations take at most half as many images as the training."""
    for count, interval in ((2000, 100), (400, 20), (100, 20), (2, 2)):
        chosen = replace(make_choices(checked_data("panoptic", tmp_path)), iterations=count)
        assert chosen.interval == interval


def test_few_images_get_a_short_training(tmp_path):
    """Twelve photographs: 300 epochs, and 100 from a trained model, where the rule has 4,952."""
    assert choices.images_seen(COCO, 12) / 12 == pytest.approx(4952, rel=1e-3)
    base, data = find_base("m2f_r18", "panoptic"), checked_data("panoptic", tmp_path)
    data = replace(data, facts=replace(data.facts, size=(96, 64), train_images=12))
    options = TrainingOptions(gpus=0, memory=2, from_scratch=True)
    chosen = choices.choose(base, options, data)
    assert chosen.batch.total == 2 and chosen.iterations == 1800
    options = replace(options, from_scratch=False, load_from="best.pth")
    assert choices.choose(base, options, data).iterations == 600


def test_options_overrule_the_rules(tmp_path):
    base, data = find_base("m2f_r18", "panoptic"), checked_data("panoptic", tmp_path)
    options = TrainingOptions(0, 2, from_scratch=True, image_size=[160, 128], crop=[96, 64])
    options = replace(options, batch=6, epochs=3)
    chosen = choices.choose(base, options, data)
    assert (chosen.image_size, chosen.fit.crop) == ((160, 128), (96, 64))
    assert chosen.batch.total == 6 and chosen.rate == choices.scaled_rate(base.recipe, 6)
    # 100 images: 17 steps an epoch, in batches of which as many images as fit are held at once.
    assert chosen.iterations / chosen.batch.accumulate == 50
    chosen = choices.choose(base, replace(options, epochs=None, iterations=7), data)
    assert (chosen.iterations, chosen.interval, chosen.warm_up) == (7, 7, 1)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (dict(crop=[100, 64]), "--crop 100 64: both must be multiples of 32, e.g. --crop 96 64"),
        (dict(batch=3, gpus=2), "--batch 3 is not a multiple of 2"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, options, fault):
    base, data = find_base("m2f_r18", "panoptic"), checked_data("panoptic", tmp_path)
    data = replace(data, facts=replace(data.facts, size=(96, 64)))
    options = replace(TrainingOptions(0, 2, from_scratch=True), **options)
    with pytest.raises(InputError, match=fault):
        choices.choose(base, options, data)


def test_a_stated_batch_is_exact():
    assert choices.exact_batch(12, 2, fitting=4) == Batch(per_gpu=3, gpus=2, accumulate=2)
    assert choices.exact_batch(7, 0, fitting=4) == Batch(1, 1, 7)
    assert choices.exact_batch(6, 1, fitting=2, least=2) == Batch(2, 1, 3)
    with pytest.raises(InputError, match="--batch 1 is not a multiple of 2"):
        choices.exact_batch(1, 1, fitting=2, least=2)
    assert choices.make_batch(1, 1, fitting=2, least=2) == Batch(2, 1, 1)


@pytest.mark.parametrize(
    ("gpus", "machine"), [(0, "a CPU with 8 GiB"), (1, "1 GPU of 8 GiB"), (3, "3 GPUs of 8 GiB")]
)
def test_machine_in_words(gpus, machine):
    assert TrainingOptions(gpus, memory=8.0).machine == machine
