"""Match of a checkpoint with a model, by the names and shapes of their weights."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from mmproscale.checkpoints.read_checkpoint import state_dict_of
from mmproscale.checkpoints.weight_check import check_types
from mmproscale.checkpoints.weights_file import lower_keys
from mmproscale.errors import InputError

# Buffers that a model computes itself; a file may hold them or not.
REBUILT = ("num_batches_tracked", "relative_position_index")
# Second names that mmdet's DDQ gives to shared tensors in its first training step; a new model does
# not have them.
SHARED = "decoder.aux_reg_branches."


@dataclass(frozen=True)
class WeightMatch:
    """Differences between a file's weights and a model's: names of weights.

    Attributes:
        total: Number of the model's weights.
        missing: The model's weights that the file does not hold.
        reshaped: Weights of both, in different shapes.
        unexpected: The file's weights that the model does not have.
    """

    total: int
    missing: tuple[str, ...]
    reshaped: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def matched(self) -> int:
        """Number of the model's weights that the file holds in the right shape."""
        return self.total - len(self.missing) - len(self.reshaped)

    @property
    def differences(self) -> str:
        """Text that lists the differences; empty without differences."""
        parts = [
            (f"{len(self.missing)} of {self.total} parameters missing", self.missing),
            (f"{len(self.reshaped)} of another shape", self.reshaped),
            (f"{len(self.unexpected)} that the model does not have", self.unexpected),
        ]
        return ", ".join(f"{text} (first: {names[0]})" for text, names in parts if names)


def compare_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> WeightMatch:
    """Compare a file's weights with a model's by name and shape."""
    own = {key: value for key, value in model.state_dict().items() if not key.endswith(REBUILT)}
    shared = [key for key in own if key in weights]
    return WeightMatch(
        total=len(own),
        missing=tuple(key for key in own if key not in weights),
        reshaped=tuple(key for key in shared if own[key].shape != weights[key].shape),
        unexpected=tuple(
            k
            for k in weights
            if k not in own and not k.endswith(REBUILT) and not k.startswith(SHARED)
        ),
    )


# Layers with an output, or an embedding, for each class: of mask heads, DETR, DINO and its queries.
CLASS_LAYER = re.compile(r"\b(cls_embed|fc_cls|cls_branches\.\d+|label_embedding)\.weight$")


def check_same_model(model: nn.Module, checkpoint: dict, source: str | Path) -> None:
    """Check that a loaded checkpoint was saved from a model with the same weights.

    Raises:
        InputError: It was trained for other classes, or names, shapes or types differ.
    """
    weights = state_dict_of(checkpoint)
    _check_class_count(model, weights, checkpoint, source)
    differences = compare_weights(model, weights).differences
    if differences:
        raise InputError(f"{source} is not a checkpoint of this model: {differences}")
    check_types(model.state_dict(), weights, source)


def check_any_match(model: nn.Module, checkpoint: dict, source: str | Path) -> WeightMatch:
    """Check that a checkpoint holds at least one weight to start fine-tuning from.

    Raises:
        InputError: No weight has the name and shape of a weight of the model, or a weight has
            another type.
    """
    weights = state_dict_of(checkpoint)
    match = compare_weights(model, weights)
    if match.matched == 0:
        raise InputError(f"{source} has nothing to start this model from: {match.differences}")
    check_types(model.state_dict(), weights, source)
    return match


def drop_class_layer(model: nn.Module, checkpoint: dict, source: str | Path) -> str | None:
    """Leave the class layer out of a checkpoint that was trained for another number of classes.

    Args:
        model: The model that will start from the checkpoint.
        checkpoint: Changed in place: its `state_dict` is replaced.
        source: The checkpoint's file, for the message.

    Returns:
        A message about the layer; None where no layer is left out.
    """
    weights = state_dict_of(checkpoint)
    layers = _class_layers_of_other_size(model, weights)
    if not layers:
        return None
    kept = {key: value for key, value in weights.items() if not key.startswith(tuple(layers))}
    checkpoint["state_dict"] = kept
    own, theirs = next(iter(layers.values()))
    names = ", ".join(dict.fromkeys(re.sub(r"\d+\.$", "", layer) + "*" for layer in layers))
    what = "class layer" if len(layers) == 1 else f"{len(layers)} class layers"
    return (
        f"{source} was trained for {_classes_of_file(checkpoint, theirs)}, this model has {own}: "
        f"its {what} ({names}) {'is' if len(layers) == 1 else 'are'} left out, to start untrained"
    )


def _check_class_count(
    model: nn.Module, weights: Mapping[str, Tensor], checkpoint: dict, source: str | Path
) -> None:
    layers = _class_layers_of_other_size(model, weights)
    if not layers:
        return
    layer, (own, theirs) = next(iter(layers.items()))
    keys, count = "num_classes", f"{own}"
    if layer.endswith("panoptic_head.cls_embed."):
        keys = "num_things_classes and num_stuff_classes"
        head = model.get_submodule(layer.removesuffix("cls_embed.").rstrip("."))
        count = _classes_of_head(head, own)
    raise InputError(
        f"{source} was trained for {_classes_of_file(checkpoint, theirs)}, the config has {count}: "
        f"set the model's {keys}, or give another checkpoint"
    )


def _class_layers_of_other_size(
    model: nn.Module, weights: Mapping[str, Tensor]
) -> dict[str, tuple[int, int]]:
    """Return the prefixes of class layers with their numbers of classes in model and file."""
    found = {}
    for key, own in model.state_dict().items():
        layer, theirs = CLASS_LAYER.search(key), weights.get(key)
        if layer and theirs is not None and len(theirs) != len(own):
            no_object = layer[1] in ("cls_embed", "fc_cls")
            found[key.removesuffix("weight")] = (len(own) - no_object, len(theirs) - no_object)
    return found


def _classes_of_file(checkpoint: dict, total: int) -> str:
    meta = checkpoint.get("meta", {})
    metainfo = meta.get("dataset_meta") if isinstance(meta, dict) else None
    known = lower_keys(metainfo)
    things, stuff = known.get("thing_classes"), known.get("stuff_classes")
    if things is None or stuff is None or len(things) + len(stuff) != total:
        return f"{total} classes"
    return f"{len(things)}+{len(stuff)} classes (things+stuff)"


def _classes_of_head(head: nn.Module, total: int) -> str:
    things = getattr(head, "num_things_classes", None)
    stuff = getattr(head, "num_stuff_classes", None)
    return f"{total}" if things is None or stuff is None else f"{things}+{stuff}"
