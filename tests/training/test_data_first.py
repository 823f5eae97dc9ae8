"""Datasets that are built before the model: built once, checked, and taken by the loops."""

import pytest
from helpers.toy_training import ToyDataset, toy_runner
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS

from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes
from mmproscale.errors import InputError
from mmproscale.training.data_first import build_data, hand_over
from mmproscale.utils.config import CONFIGS, load_config


def test_a_loop_takes_the_dataset_that_was_built(tmp_path):
    DATASETS.register_module(module=ToyDataset, force=True)
    config = Config(dict(train_dataloader=dict(dataset=dict(type="ToyDataset"))))
    built = build_data(config, ["train", "val"])
    assert list(built) == ["train"] and built["train"][1] is None
    runner = toy_runner(tmp_path)
    hand_over(runner, built)
    runner.train()
    assert runner.train_dataloader.dataset is built["train"][0]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "shapes"
    make_shapes(root, ShapesSpec(train=2, val=2, size=64))
    return root


def test_a_validation_set_is_built_with_its_metrics(shapes):
    config = load_config(CONFIGS / "proscale_m2f_r18_shapes.py", {"data_root": str(shapes)})
    dataset, evaluator = build_data(config, ["val"])["val"]
    assert len(dataset) == 2 and isinstance(evaluator, Evaluator)
    assert isinstance(config.val_evaluator.type, str), "the config stays as it is"


@pytest.mark.parametrize("part", ["val_evaluator.ann_file", "val_dataloader.dataset.ann_file"])
def test_a_missing_file_is_refused(part, shapes):
    options = {"data_root": str(shapes), part: f"{shapes}/none.json"}
    config = load_config(CONFIGS / "proscale_m2f_r18_shapes.py", options)
    with pytest.raises(InputError, match=r"none\.json"):
        build_data(config, ["train", "val"])
