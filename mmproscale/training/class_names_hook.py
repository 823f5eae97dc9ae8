"""Tell the model its classes' names, for what a config states by name."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmproscale.registry import HOOKS
from mmproscale.training.class_check_hook import class_names

HEADS = ("panoptic_head", "decode_head")


@HOOKS.register_module()
class ClassNamesHook(Hook):
    """Have the head weigh classes by their names, which the training set alone knows."""

    # After the classes have been checked.
    priority = "HIGH"

    def before_train(self, runner) -> None:
        """Pass the training set's names on.

        Raises:
            InputError: the head's `class_weight` names what is no class.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        names = class_names(runner.train_dataloader.dataset)
        for head in (getattr(model, name, None) for name in HEADS):
            if names is not None and hasattr(head, "name_classes"):
                head.name_classes(names)
