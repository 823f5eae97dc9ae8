"""The runner stops at a checkpoint of another model instead of going on with random weights."""

import pytest
import torch
from helpers.toy_training import ToyModel, toy_runner
from mmengine.model import BaseTTAModel

from mmproscale.errors import InputError


def runner_with(tmp_path, weights: dict, **options):
    file = tmp_path / "source.pth"
    torch.save({"state_dict": weights, "meta": {"epoch": 0, "iter": 1}}, file)
    hooks = [{"type": "mmproscale.CheckpointMatchHook"}]
    return toy_runner(tmp_path, load_from=str(file), custom_hooks=hooks, **options)


def test_fine_tuning_takes_a_part(tmp_path):
    runner = runner_with(
        tmp_path, {"linear.bias": torch.ones(1), "linear.weight": torch.ones(9, 9)}
    )
    runner.train()
    assert runner.iter == 4


def test_fine_tuning_from_nothing_is_refused(tmp_path):
    runner = runner_with(tmp_path, {"other.bias": torch.ones(1)})
    with pytest.raises(InputError, match=r"source\.pth has nothing to start this model from"):
        runner.train()


def test_resuming_needs_the_very_model(tmp_path):
    runner = runner_with(tmp_path, {"linear.bias": torch.ones(1)}, resume=True)
    with pytest.raises(InputError, match=r"not a checkpoint of this model: 1 of 2 parameters"):
        runner.train()


def test_testing_needs_the_very_model(tmp_path):
    runner = runner_with(tmp_path, ToyModel(width=5).state_dict())
    # As `Runner.test` does, which builds no training loop.
    with pytest.raises(InputError, match=r"1 of another shape \(first: linear\.weight\)"):
        runner.load_or_resume()


class Views(BaseTTAModel):
    def merge_preds(self, data_samples_list):
        raise NotImplementedError


def test_a_model_within_test_time_augmentation(tmp_path):
    runner = runner_with(tmp_path, ToyModel().state_dict())
    runner.model = Views(runner.model)
    runner.load_or_resume()
    runner = runner_with(tmp_path, ToyModel(width=5).state_dict())
    runner.model = Views(runner.model)
    with pytest.raises(InputError, match="1 of another shape"):
        runner.load_or_resume()
