"""Stop when an image could not be scored, before a step is taken."""

from mmengine.hooks import Hook

from mmproscale.errors import InputError
from mmproscale.registry import HOOKS


@HOOKS.register_module()
class GroundTruthCheckHook(Hook):
    """Compare the images of validation and test sets with those that the metric has annotated.

    Without it an image that is not annotated would end a training at its first validation.
    """

    def before_train(self, runner) -> None:
        """Check the validation set, where there is one.

        Raises:
            InputError: an image is not annotated.
        """
        if runner.val_loop is not None:
            check_annotated(runner.val_loop)

    def before_test(self, runner) -> None:
        """Check the test set; raises as `before_train`."""
        check_annotated(runner.test_loop)


def check_annotated(loop) -> None:
    """Check that metrics with panoptic ground truth have that of every image of a loop.

    Args:
        loop: mmengine's, with `dataloader` and `evaluator`.

    Raises:
        InputError: an image is not annotated; names it and the annotation file.
    """
    truths = [m.truth for m in loop.evaluator.metrics if hasattr(m, "truth")]
    dataset = loop.dataloader.dataset
    if not truths or not hasattr(dataset, "get_data_info"):
        return
    for item in map(dataset.get_data_info, range(len(dataset))):
        for truth in truths:
            if item["img_id"] not in truth.annotations:
                raise InputError(
                    f"'{truth.ann_file}' has no annotation of image {item['img_id']!r} "
                    f"('{item['img_path']}'), which is to be scored: annotate it or remove it "
                    "from the dataset, and use one ann_file in dataloader and evaluator"
                )
