"""Options of test-time augmentation, and the views that a pipeline makes of an image."""

from argparse import ArgumentParser

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from mmproscale.errors import InputError
from mmproscale.inference.image_views import (
    ImageViews,
    add_view_options,
    average_over,
    views_from_options,
)
from mmproscale.utils.config import load_config

LOAD = dict(type="LoadImageFromNDArray")
RESIZE = dict(type="Resize", scale=(96, 64), keep_ratio=True)
PACK = dict(type="PackDetInputs", meta_keys=("ori_shape", "img_shape"))


def views_of(*options):
    parser = ArgumentParser()
    add_view_options(parser)
    return views_from_options(parser.parse_args(options))


def seen(views, steps=(LOAD, RESIZE, PACK)):
    init_default_scope("mmdet")
    image = np.arange(32 * 48 * 3, dtype=np.uint8).reshape(32, 48, 3)
    return Compose(views.pipeline(steps))(dict(img=image))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], None),
        (["--tta"], ImageViews()),
        (["--tta", "--no-flip"], ImageViews(flip=False)),
        (["--tta", "--scales", "0.75", "1", "1.25"], ImageViews((1.0, 1.25, 0.75))),
        (["--tta", "--scales", "0.5", "--no-flip"], ImageViews((0.5,), flip=False)),
    ],
)
def test_options(options, expected):
    assert views_of(*options) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tta", "--scales"], "--scales names no scale"),
        (["--tta", "--scales", "1", "0"], "--scales 0: a scale is a positive number"),
        (["--tta", "--scales", "-0.5"], "--scales -0.5: a scale is"),
        (["--tta", "--scales", "nan"], "--scales nan: a scale is"),
        (["--tta", "--scales", "inf"], "--scales inf: a scale is"),
        (["--scales", "1"], "add --tta"),
        (["--no-flip"], "add --tta"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message) as refused:
        views_of(*options)
    assert "\n" not in str(refused.value)


def test_nearest_to_one_comes_first():
    assert ImageViews((0.5, 0.75, 1.0, 1.5, 2.0)).scales == (1.0, 0.75, 1.5, 0.5, 2.0)


def test_the_views_of_an_image():
    found = seen(ImageViews((0.5, 1.0)))
    shapes = [tuple(image.shape) for image in found["inputs"]]
    assert shapes == [(3, 64, 96), (3, 64, 96), (3, 32, 48), (3, 32, 48)]
    samples = found["data_samples"]
    assert [sample.flip for sample in samples] == [False, True, False, True]
    assert {sample.ori_shape for sample in samples} == {(32, 48)}
    assert (found["inputs"][1] == found["inputs"][0].flip(-1)).all()


def test_only_resizing_to_a_scale_makes_scales():
    steps = (LOAD, dict(type="NotAResize", scale=(96, 64)), PACK)
    with pytest.raises(InputError, match="--scales needs a Resize with a scale"):
        ImageViews((0.5, 1.0)).pipeline(steps)
    found = seen(ImageViews((0.5,)), (LOAD, dict(type="FixScaleResize", scale=(96, 64)), PACK))
    assert tuple(found["inputs"][0].shape) == (3, 32, 48)


def test_a_single_view_is_the_pipelines_own():
    found = seen(ImageViews(flip=False))
    plain = Compose([LOAD, RESIZE, PACK])(dict(img=found["inputs"][0].permute(1, 2, 0).numpy()))
    assert len(found["inputs"]) == 1
    assert found["data_samples"][0].flip is False
    assert found["data_samples"][0].img_shape == plain["data_samples"].img_shape


def test_a_pipeline_that_does_not_resize():
    assert len(seen(ImageViews(), (LOAD, PACK))["inputs"]) == 2
    with pytest.raises(InputError, match="needs a Resize with a scale"):
        ImageViews((1.0, 2.0)).pipeline([LOAD, PACK])


def test_one_number_as_the_scale():
    steps = LOAD, dict(RESIZE, scale=64), PACK
    assert [image.shape[-1] for image in seen(ImageViews((1.0, 0.5)), steps)["inputs"]] == [
        64
    ] * 2 + [32] * 2


def test_nothing_left():
    with pytest.raises(InputError, match=r"--scales 0\.001 leaves nothing of 96x64 pixels"):
        ImageViews((1.0, 0.001)).pipeline([LOAD, RESIZE, PACK])


def test_steps_between_stay_and_packing_keeps_its_keys():
    between = dict(type="LoadPanopticAnnotations")
    steps = [LOAD, RESIZE, between, PACK]
    load, augment = ImageViews((1.0, 2.0)).pipeline(steps)
    resized, others, mirrored, packed = augment["transforms"]
    assert load == LOAD and others == [between]
    assert [step["scale"] for step in resized] == [(96, 64), (192, 128)]
    assert [step["prob"] for step in mirrored] == [0.0, 1.0]
    assert packed[0]["meta_keys"] == ("ori_shape", "img_shape", "flip", "flip_direction")
    assert steps == [LOAD, RESIZE, between, PACK] and "flip" not in PACK["meta_keys"]
    (packed,) = ImageViews().pipeline([LOAD, dict(type="PackDetInputs")])[1]["transforms"][-1]
    assert "meta_keys" not in packed


def test_a_config_is_changed_where_it_tests(configs):
    config = load_config(configs / "m2f_r18_shapes.py")
    model = config.model
    average_over(config, ImageViews())
    assert config.model == dict(type="mmproscale.UniversalTTA", module=model)
    assert config.test_dataloader.dataset.pipeline[-1].type == "TestTimeAug"
    assert config.val_dataloader.dataset.pipeline[-1].type == "PackDetInputs"


def test_datasets_within_datasets():
    inner = dict(type="A", pipeline=[LOAD, RESIZE, PACK])
    wrapped = dict(type="ConcatDataset", datasets=[inner, dict(type="B", dataset=inner)])
    config = Config(dict(model={}, test_dataloader=dict(dataset=wrapped)))
    average_over(config, ImageViews())
    first, second = config.test_dataloader.dataset.datasets
    for dataset in (first, second.dataset):
        assert dataset.pipeline[-1]["type"] == "TestTimeAug"
