"""Every image that is to be scored is annotated, before a step is taken."""

from types import SimpleNamespace

import pytest

from mmproscale.errors import InputError
from mmproscale.training import GroundTruthCheckHook


class Images:
    def __init__(self, ids) -> None:
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def get_data_info(self, index: int) -> dict:
        return dict(img_id=self._ids[index], img_path=f"val/{self._ids[index]}.jpg")


def runner_with(dataset, annotated) -> SimpleNamespace:
    truth = SimpleNamespace(annotations=dict.fromkeys(annotated), ann_file="val.json")
    loop = SimpleNamespace(
        dataloader=SimpleNamespace(dataset=dataset),
        evaluator=SimpleNamespace(metrics=[SimpleNamespace(), SimpleNamespace(truth=truth)]),
    )
    return SimpleNamespace(val_loop=loop, test_loop=loop)


@pytest.mark.parametrize("phase", ["train", "test"])
def test_an_image_without_annotation_is_named(phase):
    check = getattr(GroundTruthCheckHook(), f"before_{phase}")
    check(runner_with(Images([3, 4]), [4, 3, 5]))
    with pytest.raises(InputError, match=r"\A'val\.json' has no annotation of image 4 .*4\.jpg"):
        check(runner_with(Images([3, 4]), [3]))


def test_what_has_no_such_ground_truth_or_images_passes():
    hook = GroundTruthCheckHook()
    hook.before_train(SimpleNamespace(val_loop=None))
    hook.before_train(runner_with(range(3), []))
    runner = runner_with(Images([1]), [])
    runner.val_loop.evaluator.metrics.pop()
    hook.before_train(runner)
