"""Keys of a config that nothing reads.

mmengine merges a misspelt key without a message. Most keys are arguments of a class: the one that
a dict's ``type`` names, or the one that its holder makes of it (``layer_cfg``), as the holder's
source shows. The keys of the other dicts are listed here.
"""

from __future__ import annotations

import ast
import inspect
import logging
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any

from mmengine.logging import print_log
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    EVALUATOR,
    HOOKS,
    LOG_PROCESSORS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    TASK_UTILS,
    TRANSFORMS,
    VISBACKENDS,
    VISUALIZERS,
    WEIGHT_INITIALIZERS,
    Registry,
)

from mmproscale.errors import InputError
from mmproscale.models.config_values import expected, misfit_of_attention
from mmproscale.models.encoders.schedule import SCHEDULES
from mmproscale.models.encoders.scheduled_encoder import ScheduledEncoder
from mmproscale.models.encoders.token_recalibration import TokenRecalibration
from mmproscale.models.pixel_decoders.pixel_embedding import LightPixelEmbedding
from mmproscale.utils.registered import registered_class

DATA = (DATASETS, TRANSFORMS, DATA_SAMPLERS)
# The registries that build what stands below each key of a config, the likeliest first.
REGISTRIES: dict[str, tuple[Registry, ...]] = {
    "model": (MODELS, TASK_UTILS, WEIGHT_INITIALIZERS),
    "train_dataloader": DATA,
    "val_dataloader": DATA,
    "test_dataloader": DATA,
    "train_cfg": (LOOPS,),
    "val_cfg": (LOOPS,),
    "test_cfg": (LOOPS,),
    "val_evaluator": (METRICS, EVALUATOR),
    "test_evaluator": (METRICS, EVALUATOR),
    "optim_wrapper": (OPTIM_WRAPPERS, OPTIMIZERS),
    "param_scheduler": (PARAM_SCHEDULERS,),
    "default_hooks": (HOOKS,),
    "custom_hooks": (HOOKS,),
    "visualizer": (VISUALIZERS, VISBACKENDS),
    "log_processor": (LOG_PROCESSORS,),
    **dict.fromkeys(("env_cfg", "auto_scale_lr", "randomness"), ()),
}
# Types of dicts that state none, as mmengine chooses them.
TYPES = {
    "val_cfg": "ValLoop",
    "test_cfg": "TestLoop",
    "optim_wrapper": "OptimWrapper",
    "log_processor": "LogProcessor",
}
LOOP_TYPES: dict[Any, str] = {True: "EpochBasedTrainLoop", False: "IterBasedTrainLoop"}
DEFAULT_HOOKS = {
    *("runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint"),
}
_LOADER = {
    *("batch_size", "num_workers", "pin_memory", "drop_last", "timeout", "prefetch_factor"),
    *("persistent_workers", "multiprocessing_context", "pin_memory_device", "shuffle", "in_order"),
    *("sampler", "batch_sampler", "dataset", "collate_fn", "worker_init_fn", "num_batch_per_epoch"),
}
_MASKS_TRAIN = {
    *("assigner", "sampler", "num_points", "oversample_ratio", "importance_sample_ratio"),
}
_MASKS_TEST = {
    *("panoptic_on", "semantic_on", "instance_on", "max_per_image", "iou_thr"),
    *("filter_low_score", "object_mask_thr"),
}
# Keys of dicts at the top of a config.
TOP_KEYS = {
    "train_dataloader": _LOADER,
    "val_dataloader": _LOADER,
    "test_dataloader": _LOADER,
    "env_cfg": {"cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"},
    "env_cfg.mp_cfg": {"mp_start_method", "opencv_num_threads"},
    "auto_scale_lr": {"enable", "base_batch_size"},
    "randomness": {"seed", "deterministic", "diff_rank_seed"},
}
# Keys of dicts that are no arguments, by the class that holds them and their own key.
READ_KEYS: dict[tuple[str, str], set[str]] = {
    ("MaskFormer", "train_cfg"): _MASKS_TRAIN,
    ("MaskFormer", "test_cfg"): _MASKS_TEST,
    ("Mask2FormerHead", "train_cfg"): _MASKS_TRAIN,
    ("MaskFormerFusionHead", "test_cfg"): _MASKS_TEST,
    ("DetectionTransformer", "train_cfg"): {"assigner", "sampler"},
    ("DetectionTransformer", "test_cfg"): {"max_per_img"},
    ("SegDataPreProcessor", "test_cfg"): {"size", "size_divisor"},
    ("SemanticSegmentor", "test_cfg"): {"mode", "crop_size", "stride"},
    ("CdnQueryGenerator", "group_cfg"): {"dynamic", "num_dn_queries", "num_groups"},
    ("HybridPixelDecoder", "encoder"): {"num_layers", "layer_cfg", "schedule", "init_cfg"},
    ("BaseDetDataset", "filter_cfg"): {"filter_empty_gt", "min_size", "bbox_min_size"},
    ("PanopticDataset", "data_prefix"): {"img", "seg"},
    ("InstanceDataset", "data_prefix"): {"img"},
    ("SemanticDataset", "data_prefix"): {"img_path", "seg_map_path"},
    ("DDQDETR", "dqs_cfg"): {"iou_threshold", "class_agnostic", "split_thr", "max_num"},
    ("OptimWrapper", "paramwise_cfg"): {
        *("custom_keys", "bias_lr_mult", "bias_decay_mult", "norm_decay_mult", "flat_decay_mult"),
        *("dwconv_decay_mult", "dcn_offset_lr_mult", "bypass_duplicate"),
    },
    ("OptimWrapper", "clip_grad"): {
        *("type", "max_norm", "norm_type", "error_if_nonfinite", "clip_value", "foreach"),
    },
}
OWN_CONSTRUCTOR = "mmproscale.NormDecayConstructor"  # takes the keys of mmengine's
# Keys that others read than the class that a dict becomes, by the dict's own key.
MORE_KEYS = {
    "norm_cfg": {"requires_grad"},
    "post_norm_cfg": {"requires_grad"},
    "optim_wrapper": {"constructor", "paramwise_cfg"},
    "self_attn_cfg": {"num_levels", "num_points"},  # a hybrid pixel decoder reads the first
    "train_cfg": {"by_epoch"},
    "encoder": {"num_layers"},
    "loss_cls": {"bg_cls_weight"},
    "upsample_cfg": {"scale_factor", "upsample_kernel"},
    "dcn": {"fallback_on_stride", "deformable_groups"},
    "custom_hooks": {"priority"},
    "default_hooks": {"priority"},
    "param_scheduler": {"convert_to_iter_based"},
    # OpenMMLab's configs state strides, which nothing reads.
    **{key: {"strides"} for key in ("panoptic_head", "decode_head", "bbox_head", "track_head")},
}
# Classes that keep the rest of their arguments for a function, such as torch.save.
KEEPING_THE_REST = {"CheckpointHook"}
# Classes that a function makes of a dict, so that the holder's source does not show them.
MADE = {
    ("DeformablePixelDecoder", "encoder"): ScheduledEncoder,
    ("ScheduledEncoderMixin", "encoder"): ScheduledEncoder,
    ("DeformablePixelDecoder", "recalibration"): TokenRecalibration,
    ("DeformablePixelDecoder", "pixel_embedding"): LightPixelEmbedding,
}


def check_keys(config: Mapping[str, Any], name: object) -> None:
    """Check that every key of a config has a reader, at any depth.

    Dicts of unknown structure are left out: those of a class that passes its arguments on to
    another one, and those that no class is known to read. A config without a part of this package
    gets a warning, because some of OpenMMLab's own have such keys.

    Args:
        config: A whole config; its ``model`` may be missing.
        name: The config's file or name, for the message.

    Raises:
        InputError: A key has no reader; names the first, the nearest right key, and their number.
    """
    scope = config.get("default_scope")
    unread = [
        line
        for top, registries in REGISTRIES.items()
        for line in _unread(config.get(top), top, None, _Types(registries, scope))
    ]
    if not unread:
        return
    more = f" ({len(unread)} keys are unknown)" if len(unread) > 1 else ""
    if "mmproscale." in str(config.get("model")):
        raise InputError(f"config {name}: {unread[0]}{more}")
    print_log(f"config {name}: {unread[0]}{more}", logger="current", level=logging.WARNING)


class _Types:
    """Classes of a config's types, in the registries of its part."""

    def __init__(self, registries: tuple[Registry, ...], scope: str | None) -> None:
        self.registries, self.scope = registries, scope

    def find(self, part: Mapping[str, Any], path: str) -> Any:
        """Return the class that a dict's type names; None where it has none or it is unknown."""
        if path.endswith(".schedule"):
            return SCHEDULES.get(str(part.get("type")))
        default = (
            LOOP_TYPES.get(part.get("by_epoch", "")) if path == "train_cfg" else TYPES.get(path)
        )
        stated = part.get("type", default)
        scope = part.get("_scope_", self.scope)
        found = (stated and registered_class(stated, r, scope) for r in self.registries)
        return next((one for one in found if one is not None), None)

    def arguments(self, reader: Any, part: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return `arguments`; mmcv's random resizes pass theirs on to another transform."""
        own = _parameters(vars(reader).get("__init__", reader))[0]
        if "resize_type" not in own:
            return arguments(reader)
        passed = self.find({"type": part.get("resize_type", "Resize")}, "")
        more = arguments(passed) if passed else None
        return None if more is None else more | own


def _unread(value: Any, path: str, holder: Any, types: _Types) -> Iterator[str]:
    """Yield a line for each key without a reader in a value and below it."""
    if isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from _unread(item, f"{path}.{place}", holder, types)
    if not isinstance(value, Mapping):
        return
    reader = types.find(value, path) or _made_by(holder, path.rpartition(".")[2])
    known = types.arguments(reader, value) if reader else _listed(holder, path)
    if path == "default_hooks":  # any name is possible, but not one that is nearly a known one
        others = [k for k in value if not get_close_matches(k, DEFAULT_HOOKS, 1, 0.7)]
        known = dict.fromkeys([*DEFAULT_HOOKS, *others], "")
    if reader and known is not None:
        known = dict.fromkeys(MORE_KEYS.get(_own_key(path), ()), "") | known
    if fault := misfit_of_attention(value):
        yield f"{path}.{fault}"
    for key, part in value.items():
        if key == "paramwise_cfg" and value.get("constructor", OWN_CONSTRUCTOR) != OWN_CONSTRUCTOR:
            continue  # that constructor reads it
        if known is not None and key not in {*known, "type", "_scope_"}:
            yield _describe(f"{path}.{key}", reader, known)
        elif known is not None and (wanted := expected(known.get(key, ""), key, part)):
            yield f"{path}.{key}={part!r}: expected {wanted}"
        else:
            yield from _unread(part, f"{path}.{key}", reader or holder, types)


def _own_key(path: str) -> str:
    """Return a dict's key; of a dict in a list, or of a default hook, that of the list."""
    keys = [key for key in path.split(".") if not key.isdigit()]
    return keys[0] if keys[0] == "default_hooks" else keys[-1]


def _describe(path: str, reader: Any, known: Iterable[str]) -> str:
    place, _, key = path.rpartition(".")
    close = get_close_matches(key, known, 1, cutoff=0.5)
    who = getattr(reader, "__name__", "this part")
    hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(sorted(known))}"
    return f"{place} has no key {key!r} that {who} reads: {hint}"


def _listed(holder: Any, path: str) -> dict[str, Any] | None:
    """Return the keys of a dict that no class takes as arguments, if they are known."""
    keys = _keys_listed(holder, path)
    return None if keys is None else dict.fromkeys(keys, "")


def _keys_listed(holder: Any, path: str) -> set[str] | None:
    names = [one.__name__ for one in _classes(holder)]
    key = path.rpartition(".")[2]
    if path in TOP_KEYS:
        return TOP_KEYS[path]
    if re.fullmatch(r"optim_wrapper\.paramwise_cfg\.custom_keys\..+", path):
        return {"lr_mult", "decay_mult"}
    return next((READ_KEYS[name, key] for name in names if (name, key) in READ_KEYS), None)


@cache
def arguments(made: Any) -> dict[str, Any] | None:
    """Return the arguments of a class or function with annotations; None where it takes any."""
    known: dict[str, Any] = {}
    for step in made.__mro__ if isinstance(made, type) else (made,):
        function = vars(step).get("__init__", object.__init__) if isinstance(step, type) else step
        if function is object.__init__:
            continue
        own, rest = _parameters(function)
        body = _body(function)
        read = re.findall(rf"\b{rest}(?:\.\w+\(|\[)\s*['\"](\w+)['\"]", body)
        known = dict.fromkeys(read, "") | own | known
        if rest is None or not re.search(rf"\b{rest}\b", body) or step.__name__ in KEEPING_THE_REST:
            return known  # no more arguments, or none that is read
        if not re.search(rf"super\(.*\*\*{rest}\b", body):
            other = _class_called(function, re.escape(rest))
            more = other and arguments(other)
            return more and more | known
    return None


def _parameters(function: Any) -> tuple[dict[str, Any], str | None]:
    """Return the arguments of a function with annotations, and the name of the dict of others."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # of a C extension
        return {}, "kwargs"
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    empty = inspect.Parameter.empty
    known = {p.name: "" if p.annotation is empty else p.annotation for p in named}
    known.pop("self", None)
    return known, next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)


def _class_called(code: Any, passed: str) -> Any:
    """Return the class that a function, or a method of a class, calls with ``**passed``."""
    for call in ast.walk(_tree(code)):
        for keyword in getattr(call, "keywords", ()):
            if keyword.arg is None and re.fullmatch(passed, ast.unparse(keyword.value)):
                made = _named(ast.unparse(getattr(call, "func", keyword)), code)
                if isinstance(made, type) and made is not dict:
                    return made
    return None


def _named(name: str, code: Any) -> Any:
    """Return what a dotted name means in some code, which may import it itself."""
    found: Any = sys.modules[code.__module__]
    imports = (node for node in ast.walk(_tree(code)) if isinstance(node, ast.ImportFrom))
    modules = [n.module for n in imports if name in {alias.name for alias in n.names}]
    if modules and modules[0]:
        found = import_module(modules[0])
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _classes(holder: Any) -> tuple[type, ...]:
    """Return a class and its bases, or those of the class that a registered function makes."""
    holder = holder if isinstance(holder, type) else holder and _class_called(holder, r"\w+")
    return getattr(holder, "__mro__", ())


def _body(function: Any) -> str:
    """Return a function's code without its head and docstring."""
    head = _tree(function).body[:1]
    lines = getattr(head[0], "body", []) if head else []
    documented = (
        lines and isinstance(lines[0], ast.Expr) and isinstance(lines[0].value, ast.Constant)
    )
    return "\n".join(map(ast.unparse, lines[1:] if documented else lines))


@cache
def _tree(code: Any) -> ast.Module:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, TypeError, SyntaxError):  # built in, or made at run time
        return ast.Module([], [])


@cache
def _made_by(holder: Any, key: str) -> Any:
    """Return the class that a class makes of its argument: ``Name(**key)`` in its source."""
    passed = rf"(?:\w+\()?(?:self\.)?{re.escape(key)}\b.*"
    made = (MADE.get((c.__name__, key)) or _class_called(c, passed) for c in _classes(holder))
    return next((one for one in made if one), None)
