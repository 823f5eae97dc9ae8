"""Registries of scope ``mmproscale``; they import their modules when a type is looked up."""

from collections.abc import Mapping
from typing import Any

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODEL_WRAPPERS as MMENGINE_MODEL_WRAPPERS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

from mmproscale.errors import InputError


def _registry(name: str, parent: Registry, *modules: str) -> Registry:
    locations = [f"mmproscale.{module}" for module in modules]
    return Registry(name, parent=parent, scope="mmproscale", locations=locations)


MODELS = _registry(
    "model",
    MMENGINE_MODELS,
    "models.backbones",
    "models.encoders.exit_gate",
    "models.encoders.token_recalibration",
    "models.pixel_decoders",
    "models.query_decoders",
    "models.heads",
    "models.fusion",
    "models.detectors",
)
DATASETS = _registry("dataset", MMENGINE_DATASETS, "datasets.loading")
TRANSFORMS = _registry("transform", MMENGINE_TRANSFORMS, "datasets.loading")
METRICS = _registry("metric", MMENGINE_METRICS, "evaluation", "evaluation.encoder_exits")
HOOKS = _registry("hook", MMENGINE_HOOKS, "training")
MODEL_WRAPPERS = _registry("model_wrapper", MMENGINE_MODEL_WRAPPERS, "training.parallel")
LOOPS = _registry("loop", MMENGINE_LOOPS, "training")
OPTIM_WRAPPERS = _registry("optimizer wrapper", MMENGINE_OPTIM_WRAPPERS, "training.mixed_precision")
OPTIM_WRAPPER_CONSTRUCTORS = _registry(
    "optimizer wrapper constructor", MMENGINE_CONSTRUCTORS, "training"
)


def build_part(config: Mapping, **defaults: object) -> Any:
    """Build a part of a model by its plain name (``TRC``), in any default scope.

    Raises:
        InputError: The config has no type.
    """
    if "type" not in config:
        raise InputError(f"{dict(config)} is a part of a model without a type such as 'TRC'")
    return MODELS.build(dict(config, _scope_="mmproscale"), default_args=defaults)
