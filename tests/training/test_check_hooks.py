"""A run stops before its first step at another model's checkpoint and at images without truth."""

from types import SimpleNamespace

import pytest
import torch
from helpers.toy_training import ToyModel, toy_runner
from mmengine.model import BaseTTAModel

from mmproscale.errors import InputError
from mmproscale.training import GroundTruthCheckHook


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


class Images:
    def __init__(self, ids) -> None:
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def get_data_info(self, index: int) -> dict:
        return dict(img_id=self._ids[index], img_path=f"val/{self._ids[index]}.jpg")


def runner_scoring(dataset, annotated) -> SimpleNamespace:
    truth = SimpleNamespace(annotations=dict.fromkeys(annotated), ann_file="val.json")
    loop = SimpleNamespace(
        dataloader=SimpleNamespace(dataset=dataset),
        evaluator=SimpleNamespace(metrics=[SimpleNamespace(), SimpleNamespace(truth=truth)]),
    )
    return SimpleNamespace(val_loop=loop, test_loop=loop)


@pytest.mark.parametrize("phase", ["train", "test"])
def test_an_image_without_annotation_is_named(phase):
    check = getattr(GroundTruthCheckHook(), f"before_{phase}")
    check(runner_scoring(Images([3, 4]), [4, 3, 5]))
    with pytest.raises(InputError, match=r"\A'val\.json' has no annotation of image 4 .*4\.jpg"):
        check(runner_scoring(Images([3, 4]), [3]))


def test_what_has_no_such_ground_truth_or_images_passes():
    hook = GroundTruthCheckHook()
    hook.before_train(SimpleNamespace(val_loop=None))
    hook.before_train(runner_scoring(range(3), []))
    runner = runner_scoring(Images([1]), [])
    runner.val_loop.evaluator.metrics.pop()
    hook.before_train(runner)
