"""Models of any OpenMMLab config with random weights, without downloads."""

from __future__ import annotations

import copy
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import BaseModel, PretrainedInit
from mmengine.registry import MODELS, WEIGHT_INITIALIZERS, init_default_scope
from torch import nn

from mmproscale.errors import InputError
from mmproscale.utils.config import load_config
from mmproscale.utils.registered import is_type

LOGGER = "random model"


def load_any_config(name: str) -> Config:
    """Read a config with a model, given by path or name, or as ``mmdet::detr/NAME.py``.

    Raises:
        InputError: There is no such config, or it has no model.
    """
    config = load_config(name)
    if "model" not in config:
        raise InputError(f"config {name} has no model: name one that has")
    return config


def model_without_weights(config: Config) -> ConfigDict:
    """Return the config's model without weights to fetch in any part."""
    return _without_weights(copy.deepcopy(config.model))


def _without_weights(value: Any) -> Any:
    """Remove ``pretrained`` and ``init_cfg`` of type Pretrained, at any depth.

    Dicts are changed in place, which keeps their types.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            fetches = key == "pretrained" or (key == "init_cfg" and _is_pretrained(item))
            value[key] = None if fetches else _without_weights(item)
    elif isinstance(value, (list, tuple)):
        return type(value)(_without_weights(item) for item in value)
    return value


def _is_pretrained(init_cfg: Any) -> bool:
    return isinstance(init_cfg, dict) and is_type(
        init_cfg.get("type"), WEIGHT_INITIALIZERS, PretrainedInit
    )


def build_model(model: ConfigDict, scope: str | None = None) -> BaseModel:
    """Build a model with the weights that the modules' constructors set.

    Args:
        model: A result of :func:`model_without_weights`.
        scope: Scope of types without a scope; mmdet if None.

    Raises:
        InputError: A type or an argument is unknown, or a needed package is not installed.
    """
    init_default_scope(scope or "mmdet")
    _be_quiet()
    try:
        return MODELS.build(copy.deepcopy(model))  # mmdet's detectors change their configs
    except InputError:
        raise
    except (AssertionError, AttributeError, ImportError, KeyError, TypeError) as error:
        said = " ".join(str(error).strip("'\"").split()).partition(". ")[0]  # advice follows
        raise InputError(f"the config's model can't be built: {said}") from error


def random_model(model: ConfigDict, scope: str | None = None) -> BaseModel:
    """Build a model with the weights of training from scratch, the same at each call.

    Arguments and errors are as in :func:`build_model`.
    """
    torch.manual_seed(0)
    built = build_model(model, scope)
    built.init_weights()
    for name, parameter in built.named_parameters():
        # mmcv starts with offsets and weights that are equal for all queries.
        if name.endswith(("sampling_offsets.weight", "attention_weights.weight")):
            nn.init.normal_(parameter, std=0.1)
    return built


def _be_quiet() -> None:
    if not MMLogger.check_instance_created(LOGGER):
        MMLogger.get_instance(LOGGER, log_level="ERROR")  # else each weight logs a line
