"""Registries of scope ``mmproscale``; they import their modules when a type is looked up."""

from collections.abc import Mapping
from typing import Any

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODEL_WRAPPERS as MMENGINE_MODEL_WRAPPERS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

from mmproscale.errors import InputError

MODELS = Registry(
    "model",
    parent=MMENGINE_MODELS,
    scope="mmproscale",
    locations=[
        "mmproscale.models.backbones",
        "mmproscale.models.encoders.exit_gate",
        "mmproscale.models.encoders.token_recalibration",
        "mmproscale.models.pixel_decoders",
        "mmproscale.models.query_decoders",
        "mmproscale.models.heads",
        "mmproscale.models.fusion",
        "mmproscale.models.detectors",
    ],
)
DATASETS = Registry(
    "dataset",
    parent=MMENGINE_DATASETS,
    scope="mmproscale",
    locations=["mmproscale.datasets.loading"],
)
TRANSFORMS = Registry(
    "transform",
    parent=MMENGINE_TRANSFORMS,
    scope="mmproscale",
    locations=["mmproscale.datasets.loading"],
)
METRICS = Registry(
    "metric",
    parent=MMENGINE_METRICS,
    scope="mmproscale",
    locations=["mmproscale.evaluation", "mmproscale.evaluation.encoder_exits"],
)
HOOKS = Registry(
    "hook", parent=MMENGINE_HOOKS, scope="mmproscale", locations=["mmproscale.training"]
)
MODEL_WRAPPERS = Registry(
    "model_wrapper",
    parent=MMENGINE_MODEL_WRAPPERS,
    scope="mmproscale",
    locations=["mmproscale.training.parallel"],
)
LOOPS = Registry(
    "loop", parent=MMENGINE_LOOPS, scope="mmproscale", locations=["mmproscale.training"]
)


def build_part(config: Mapping, **defaults: object) -> Any:
    """Build a part of a model by its plain name (``TRC``), in any default scope.

    Raises:
        InputError: The config has no type.
    """
    if "type" not in config:
        raise InputError(f"{dict(config)} is a part of a model without a type such as 'TRC'")
    return MODELS.build(dict(config, _scope_="mmproscale"), default_args=defaults)
