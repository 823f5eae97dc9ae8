"""Does a checkpoint belong to this model? Checked by names and shapes, said in one line."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mmproscale.checkpoints.safe_loading import load_checkpoint, state_dict_of
from mmproscale.errors import InputError

# Buffers that a model rebuilds by itself, so that files may or may not hold them.
REBUILT = ("num_batches_tracked", "relative_position_index")
# What mmdet's DDQ shares in its first step of training: of one tensor a second name, not in a new
# model.
SHARED = "decoder.aux_reg_branches."
_CLASS_LAYER = "cls_embed.weight"


@dataclass(frozen=True)
class WeightMatch:
    """How a file's weights compare with a model's: names, and of how many."""

    total: int
    missing: tuple[str, ...]
    reshaped: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def matched(self) -> int:
        """How many of the model's weights the file holds in the right shape."""
        return self.total - len(self.missing) - len(self.reshaped)

    @property
    def differences(self) -> str:
        """The differences, for a person; empty where there are none."""
        parts = [
            _part(f"{len(self.missing)} of {self.total} parameters missing", self.missing),
            _part(f"{len(self.reshaped)} of another shape", self.reshaped),
            _part(f"{len(self.unexpected)} that the model does not have", self.unexpected),
        ]
        return ", ".join(part for part in parts if part)


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


def check_same_model(model: nn.Module, checkpoint: dict, source: str | Path) -> None:
    """Check that a loaded checkpoint was saved from this very model.

    Raises:
        InputError: it was trained for other classes, or names or shapes differ.
    """
    weights = state_dict_of(checkpoint)
    _check_class_count(model, weights, checkpoint, source)
    differences = compare_weights(model, weights).differences
    if differences:
        raise InputError(f"{source} is not a checkpoint of this model: {differences}")


def check_any_match(model: nn.Module, checkpoint: dict, source: str | Path) -> WeightMatch:
    """Check that fine-tuning from a checkpoint takes anything from it at all.

    Returns:
        How names and shapes compare.

    Raises:
        InputError: not one name and shape is the model's.
    """
    match = compare_weights(model, state_dict_of(checkpoint))
    if match.matched == 0:
        raise InputError(f"{source} has nothing to start this model from: {match.differences}")
    return match


def drop_class_layer(model: nn.Module, checkpoint: dict, source: str | Path) -> str | None:
    """Leave the class layer out of a checkpoint that was trained for another number of classes.

    Args:
        model: what it starts.
        checkpoint: its `state_dict` is replaced.
        source: its file, for the line.

    Returns:
        A line that says so; None where the numbers are equal, or there is no such layer.
    """
    weights = state_dict_of(checkpoint)
    for key, own in model.state_dict().items():
        theirs = weights.get(key)
        if key.endswith(_CLASS_LAYER) and theirs is not None and len(theirs) != len(own):
            layer = key.removesuffix("weight")
            kept = {k: value for k, value in weights.items() if not k.startswith(layer)}
            checkpoint["state_dict"] = kept
            return (
                f"{source} was trained for {_classes_of_file(checkpoint, len(theirs) - 1)}, this "
                f"model has {len(own) - 1}: its class layer ({layer}*) is left out and starts anew"
            )
    return None


def load_model_weights(model: nn.Module, path: str | Path, map_location: Any = None) -> dict:
    """Load a checkpoint of this very model into it, and return the checkpoint.

    Raises:
        InputError: the file cannot be read, or is a checkpoint of another model.
    """
    checkpoint = load_checkpoint(path, map_location)
    check_same_model(model, checkpoint, path)
    model.load_state_dict(state_dict_of(checkpoint), strict=False)
    return checkpoint


def _check_class_count(
    model: nn.Module, weights: Mapping[str, Tensor], checkpoint: dict, source: str | Path
) -> None:
    for key, own in model.state_dict().items():
        theirs = weights.get(key)
        if not key.endswith(_CLASS_LAYER) or theirs is None or len(theirs) == len(own):
            continue
        head = model.get_submodule(key.rsplit(".", 2)[0]) if key.count(".") > 1 else model
        semantic = key.startswith("decode_head.")
        keys = "num_classes" if semantic else "num_things_classes and num_stuff_classes"
        count = f"{len(own) - 1}" if semantic else _classes_of_head(head, len(own) - 1)
        raise InputError(
            f"{source} was trained for {_classes_of_file(checkpoint, len(theirs) - 1)}, the config "
            f"has {count}: set the model's {keys}, or take another checkpoint"
        )


def _classes_of_file(checkpoint: dict, total: int) -> str:
    meta = checkpoint.get("meta", {})
    metainfo = meta.get("dataset_meta") if isinstance(meta, dict) else None
    known = {str(key).lower(): value for key, value in (metainfo or {}).items()}
    things, stuff = known.get("thing_classes"), known.get("stuff_classes")
    if things is None or stuff is None or len(things) + len(stuff) != total:
        return f"{total} classes"
    return f"{len(things)}+{len(stuff)} classes (things+stuff)"


def _classes_of_head(head: nn.Module, total: int) -> str:
    things = getattr(head, "num_things_classes", None)
    stuff = getattr(head, "num_stuff_classes", None)
    return f"{total}" if things is None or stuff is None else f"{things}+{stuff}"


def _part(text: str, names: tuple[str, ...]) -> str:
    return f"{text} (first: {names[0]})" if names else ""
