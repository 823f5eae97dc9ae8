"""Random annotation files, schedules, image sizes and types: a result or one line, never a crash.

``MMPROSCALE_FULL_TESTS=1`` tries many more examples.
"""

import json
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import one_instance_image, tiny_panoptic
from helpers.extent import all_or
from helpers.json_changes import VALUES, changed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mmproscale.datasets.checks.dataset_check import DatasetFiles, check_dataset
from mmproscale.datasets.checks.repair import repair_dataset
from mmproscale.datasets.conversion import labelme
from mmproscale.datasets.conversion.output import Destination, write_dataset
from mmproscale.datasets.conversion.panoptic_to_instances import convert_to_instances
from mmproscale.datasets.conversion.polygons import prepare_polygons
from mmproscale.datasets.formats.label_values import label_values
from mmproscale.errors import InputError
from mmproscale.evaluation import CocoMetric, UniversalSegMetric
from mmproscale.inference.image_sources import in_memory
from mmproscale.models.encoders.schedule import build_schedule

pytestmark = pytest.mark.slow


def fuzz(examples: int):
    """Return hypothesis' settings for a number of examples in the short profile."""
    return settings(
        max_examples=all_or(examples, 100 * examples),
        deadline=None,
        derandomize=all_or(True, False),
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def folder():
    """Make a folder for one example."""
    path = Path(tempfile.mkdtemp())
    try:
        yield path
    finally:
        shutil.rmtree(path)


INSTANCES = one_instance_image.tiny_instances()


@fuzz(120)
@given(changed(INSTANCES))
def test_instance_files(content):
    with folder() as root:
        report = one_instance_image.check(root, content)
        files = DatasetFiles(str(root / "instances.json"), str(root), panoptic=False)
        with suppress(InputError):
            repair_dataset(files, root / "mended.json")
            mended = DatasetFiles(str(root / "mended.json"), str(root), panoptic=False)
            assert not report.clean or check_dataset(mended).clean
        has_masks = "mask-missing" not in report.notes
        with accepted(report.clean and has_masks):
            one_instance_image.build(root)[0]
        with accepted(report.clean):
            metric = CocoMetric(str(root / "instances.json"))
            score_one(metric, content["images"][0])
        with accepted(report.clean and has_masks):
            out = Destination(root / "out/png", root / "out/images")
            write_dataset(prepare_polygons(root / "instances.json", root, out))
            written = (str(out.json_path), str(out.image_folder), str(out.png_folder))
            assert check_dataset(DatasetFiles(*written)).clean


@contextmanager
def accepted(expected: bool):
    """Let InputError pass, but not where the check found no fault."""
    try:
        yield
    except InputError as error:
        # What a panoptic file can't say: many classes, one name for two images.
        allowed = ("category-count", "several images", "no-segment", "no image to train")
        assert not expected or any(part in str(error) for part in allowed), error


def score_one(metric: CocoMetric, image: dict) -> None:
    metric.dataset_meta = dict(classes=[c["name"] for c in metric._coco_api.dataset["categories"]])
    found = dict(
        bboxes=torch.tensor([[8.0, 6, 28, 30]]), scores=torch.ones(1), labels=torch.zeros(1).long()
    )
    size = image["height"], image["width"]
    metric.process({}, [dict(img_id=image["id"], ori_shape=size, pred_instances=found)])
    metric.evaluate(1)


with folder() as _root:
    PANOPTIC = tiny_panoptic.write_tiny(_root)


@fuzz(120)
@given(changed(PANOPTIC))
def test_panoptic_files(content):
    with folder() as root:
        tiny_panoptic.write_tiny(root)
        tiny_panoptic.write_json(root, content)
        files = DatasetFiles(*(str(root / n) for n in ("panoptic.json", "images", "pngs")))
        report = check_dataset(files)
        with suppress(InputError):
            repair_dataset(files, root / "mended.json")
            mended = DatasetFiles(str(root / "mended.json"), files.img, files.seg)
            assert not report.clean or check_dataset(mended).clean
        with accepted(report.clean):
            dataset = tiny_panoptic.build(root)
            assert all(len(dataset[i]["gt_masks"]) < 9 for i in range(len(dataset)))
        with accepted(report.clean):
            UniversalSegMetric(str(root / "panoptic.json"), str(root / "pngs"))
        with accepted(report.clean):
            convert_to_instances(root / "panoptic.json", root / "pngs", root / "out.json")


LABELME = dict(
    version="5.4.1",
    shapes=[
        dict(label="cat", points=[[2, 2], [9, 2], [9, 9]], shape_type="polygon", group_id=None),
        dict(label="ball", points=[[9, 9], [12, 9]], shape_type="circle", group_id=1),
        dict(label="__void__", points=[[0, 0], [4, 4]], shape_type="rectangle"),
    ],
    imagePath="a.png",
    imageData=None,
    imageHeight=16,
    imageWidth=20,
)


@fuzz(120)
@given(changed(LABELME))
def test_labelme_files(content):
    with folder() as root:
        Image.new("RGB", (20, 16)).save(root / "a.png")
        (root / "a.json").write_text(json.dumps(content))
        with suppress(InputError):
            files = labelme.read_labelme(root)
            out = Destination(root / "out/png", root / "out/images")
            categories = labelme.categories_of_labels(files, [])
            write_dataset(labelme.prepare_labelme(files, root, categories, out))
            written = (str(out.json_path), str(out.image_folder), str(out.png_folder))
            assert check_dataset(DatasetFiles(*written)).clean


SCHEDULES = [
    dict(type="pro_scale", repeats=[1, 1, 1], levels=[[64, 32], 16, 8]),
    dict(type="m2f", layers=3, levels=[32, 16, 8]),
    dict(type="lite", coarse_layers=2, levels=[32, 16, 8], num_fine=1, blocks=2, fine_channels=8),
    dict(
        type="stages",
        stages=[
            dict(queries=[32, 16], keys=[32, 16, 8], repeats=2),
            dict(queries=[32, 16, 8], keys=[8], feedforwards=[dict(levels=8, channels=9)]),
        ],
        tail=1,
        name="mine",
    ),
]


@fuzz(300)
@given(st.sampled_from(SCHEDULES).flatmap(changed))
def test_schedules(config):
    with suppress(InputError):
        schedule = build_schedule(config)
        assert schedule.exits and all(exit_ > 0 for exit_ in schedule.exits)
        assert str(schedule)


TYPES = [*(np.uint8, np.uint16, np.int32, np.float32, np.float64, bool, complex), object]
SHAPES = st.lists(st.integers(0, 9), max_size=5).map(tuple)


@fuzz(200)
@given(SHAPES, st.sampled_from(TYPES), st.booleans())
def test_arrays_as_images(shape, dtype, bgr):
    for image in (np.zeros(shape, dtype), np.ones(shape, dtype)):
        with suppress(InputError):
            pixels = in_memory(image, bgr)
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3


@fuzz(200)
@given(VALUES | st.binary(max_size=64))
def test_other_things_as_images(value):
    with suppress(InputError):
        in_memory(value)
    data = value if isinstance(value, bytes) else repr(value).encode("utf-8", "replace")
    with suppress(OSError, ValueError):
        label_values(data)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    from mmproscale.inference.predictor import Predictor
    from mmproscale.utils.config import load_config

    config = load_config("proscale_m2f_r18_shapes")
    config.model.backbone.init_cfg = None
    init_default_scope("mmdet")
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(dict(state_dict=MODELS.build(config.model).state_dict()), path)
    return Predictor(config, path, "cpu")


def test_image_sizes(predictor):
    @fuzz(8)
    @given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 255))
    def run(height, width, value):
        with suppress(InputError):
            result = predictor(np.full((height, width, 3), value, np.uint8))
            assert result.panoptic.shape == (height, width)

    run()
