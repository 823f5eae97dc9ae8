"""Training transforms, one by one and in a row, keep channels in order and labels in place."""

import copy
import random
from pathlib import Path

import numpy as np
import pytest
from helpers.labelled_chart import check_labels, write_chart
from mmengine.registry import TRANSFORMS, init_default_scope

from mmproscale.utils.config import load_config

DRAWS = 6  # of each random transform
COLOUR_DRAWS = 12  # mmdet's distortion, which permutes channels, does so in 42% of them
ROOT = Path(__file__).resolve().parents[2] / "configs"


def pipelines() -> dict:
    """Configs of distinct training pipelines by name: the first config that has each."""
    found = {}
    for path in sorted(ROOT.glob("*.py")):
        config = load_config(path)
        found.setdefault(str(config.train_dataloader.dataset.pipeline), (path.stem, config))
    return dict(found.values())


PIPELINES = pipelines()


def build(transform: dict):
    return TRANSFORMS.build(dict(transform))


def changes_colours(transform: dict) -> bool:
    return transform["type"].endswith("PhotoMetricDistortion")


def alternatives(transforms: list[dict]) -> list[dict]:
    """Return a pipeline's transforms; a RandomChoice is replaced by the transforms in it."""
    found = []
    for transform in transforms:
        chosen = transform.get("transforms")
        found += (
            [transform]
            if chosen is None
            else [t for choice in chosen for t in alternatives(choice)]
        )
    return found


def seed(number: int) -> None:
    random.seed(number), np.random.seed(number)


def loaded(pipeline: list[dict], item: dict) -> dict:
    """Results after those transforms of a pipeline that load; the item's paths are theirs."""
    semantic = any(t["type"].endswith("LoadLabelMap") for t in pipeline)
    results = copy.deepcopy(item)
    results["seg_map_path"] = item["paths"]["labels" if semantic else "panoptic"]
    for transform in pipeline:
        if "Load" in transform["type"]:
            results = build(transform)(results)
    return results


@pytest.fixture
def chart(request, tmp_path) -> tuple[list[dict], dict]:
    """A pipeline and the labelled chart as an item of its dataset."""
    config = PIPELINES[request.param]
    init_default_scope(config.default_scope)
    ade20k = config.train_dataloader.dataset.type.endswith("ADE20KSemanticDataset")
    return config.train_dataloader.dataset.pipeline, write_chart(tmp_path, ade20k)


EACH = pytest.mark.parametrize("chart", PIPELINES, indirect=True)


@EACH
def test_each_transform_keeps_labels_on_their_pixels_and_channels_in_order(chart):
    pipeline, item = chart
    before = loaded(pipeline, item)
    assert check_labels(before, colour_may_change=False) >= 8  # loaders keep both, too
    for transform in alternatives(pipeline):
        if "Load" in transform["type"]:
            continue
        step, seen, colours = build(transform), 0, changes_colours(transform)
        for draw in range(COLOUR_DRAWS if colours else DRAWS):
            seed(draw)
            after = step(loaded(pipeline, item))
            seen += check_labels(after, colours)
            if colours:
                assert np.array_equal(after["gt_seg_map"], before["gt_seg_map"])
        assert seen >= DRAWS, transform["type"]


@EACH
def test_the_whole_pipeline_does_as_well(chart):
    pipeline, item = chart
    steps = [build(transform) for transform in pipeline if "Load" not in transform["type"]]
    colours, seen = any(map(changes_colours, pipeline)), 0
    for draw in range(DRAWS):
        seed(draw)
        results = loaded(pipeline, item)
        for step in steps:
            results = step(results)
            if results is None:  # a crop without an instance: the dataset takes another image
                break
        else:
            seen += check_labels(results, colours)
    assert seen >= 2 * DRAWS


def test_some_pipelines_change_colours_and_some_do_not():
    datasets = {
        name.rpartition("_")[2]
        for name, config in PIPELINES.items()
        if any(map(changes_colours, config.train_dataloader.dataset.pipeline))
    }
    assert datasets == {"cityscapes", "ade20k", "cityscapes-semantic", "ade20k-semantic"}


# The checks fail where channels are permuted, and where labels do not move with the image.
COCO = pytest.mark.parametrize("chart", ["detr_r50_coco"], indirect=True)


@COCO
def test_the_checks_see_channels_in_another_order(chart):
    step = build(dict(type="mmdet.PhotoMetricDistortion"))
    with pytest.raises(AssertionError, match="channels are in another order"):
        for draw in range(COLOUR_DRAWS):
            seed(draw)
            check_labels(step(loaded(*chart)), colour_may_change=True)


@COCO
def test_the_checks_see_labels_that_stay_behind(chart):
    results = loaded(*chart)
    results["img"] = results["img"][:, ::-1]
    with pytest.raises(AssertionError, match="label 0"):
        check_labels(results, colour_may_change=False)
