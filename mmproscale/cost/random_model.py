"""A model of any OpenMMLab config with random weights: nothing is fetched, nothing is trained."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import PretrainedInit
from mmengine.registry import MODELS, WEIGHT_INITIALIZERS, init_default_scope
from torch import nn

from mmproscale.errors import InputError
from mmproscale.utils.config import load_config
from mmproscale.utils.registered import is_type

LOGGER = "random model"


def load_any_config(name: str) -> Config:
    """A config with a model, by its path or name, or of a package as in ``mmdet::detr/NAME.py``.

    Raises:
        InputError: There is none, or it has no model.
    """
    config = load_config(name)
    if "model" not in config:
        raise InputError(f"config {name} has no model: name one that has")
    return config


def model_without_weights(config: Config) -> ConfigDict:
    """The config's model, no part of which has weights to fetch."""
    return _without_weights(copy.deepcopy(config.model))


def _without_weights(value: Any) -> Any:
    """The same without ``init_cfg`` of type Pretrained, at any depth, and without ``pretrained``.

    Changed in place: that keeps the types of what a config is made of.
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


def build_model(model: ConfigDict, scope: str | None = None) -> nn.Module:
    """The model with the weights that its modules are made with.

    Args:
        model: As :func:`model_without_weights` makes it.
        scope: Where types without a scope are looked up; mmdet if None.

    Raises:
        InputError: A type that nobody registers, arguments that it does not take, or a package that
            it needs and that is not there.
    """
    init_default_scope(scope or "mmdet")
    _be_quiet()
    try:
        return MODELS.build(copy.deepcopy(model))  # mmdet's detectors write into theirs
    except InputError:
        raise
    except (AssertionError, AttributeError, ImportError, KeyError, TypeError) as error:
        said = " ".join(str(error).strip("'\"").split()).partition(". ")[0]  # advice goes on
        raise InputError(f"the config's model can't be built: {said}") from error


def random_model(model: ConfigDict, scope: str | None = None) -> nn.Module:
    """The model with the weights that training from scratch begins with, the same at each call.

    Arguments and errors are :func:`build_model`'s.
    """
    torch.manual_seed(0)
    built = build_model(model, scope)
    built.init_weights()
    for name, parameter in built.named_parameters():
        # mmcv begins with offsets and shares that are the same for all queries.
        if name.endswith(("sampling_offsets.weight", "attention_weights.weight")):
            nn.init.normal_(parameter, std=0.1)
    return built


def _be_quiet() -> None:
    if not MMLogger.check_instance_created(LOGGER):
        MMLogger.get_instance(LOGGER, log_level="ERROR")  # else each weight has its line
    warnings.filterwarnings("ignore", message="torch.meshgrid")  # in mmdet's position encoding
