"""Backbones of timm (Wightman, PyTorch Image Models) under timm's own names of weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.registry import MODELS
from mmproscale.utils.registered import is_type

STRIDES = (4, 8, 16, 32)
HUB = "timm://"


@dataclass(frozen=True)
class TimmFacts:
    """Facts about a model of timm that is not built.

    Args:
        indices: Stride -> number of timm's map; of several maps, the last.
        channels: Stride -> channels of that map.
        modules: Stride -> name of the module whose output the map is.
        names: Names and shapes of the whole classifier's weights, in timm's order.
        mean: Means that its pretrained weights expect, of R, G and B from 0 to 255.
        std: Standard deviations, the same.
    """

    indices: dict[int, int]
    channels: dict[int, int]
    modules: dict[int, str]
    names: dict[str, tuple[int, ...]]
    mean: list[float]
    std: list[float]


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """Any model of timm that has maps at the wanted strides.

    Names of weights are timm's, without a prefix, for all models. Random weights are timm's.

    Args:
        model: Name in timm, with or without a tag of its weights: ``convnext_tiny.in12k``.
        strides: Strides of the maps to return, ascending.
        frozen_stages: Number of maps, from stride 4 on, up to which no layer learns.
        norm_eval: Keep the statistics of all batch norms.
        drop_path_rate: Share of residual branches that training leaves out; None for timm's.
        init_cfg: ``dict(type='Pretrained', checkpoint=SOURCE)``. SOURCE is ``timm://`` for the
            weights that timm has for ``model``, or a file or address with timm's names, or with
            timm's order and shapes.

    Raises:
        InputError: timm or torchvision is missing; an unknown model; a model without one of the
            maps, or without an argument that is given.
    """

    _is_init: bool

    def __init__(
        self,
        model: str,
        strides: Sequence[int] = STRIDES,
        frozen_stages: int = 0,
        norm_eval: bool = False,
        drop_path_rate: float | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.facts, self.model_name = timm_facts(model), model
        _check_strides(model, self.facts, strides)
        if not 0 <= frozen_stages <= len(STRIDES):
            raise InputError(f"backbone.frozen_stages={frozen_stages}: expected 0 to 4")
        if frozen_stages:
            _check_strides(model, self.facts, STRIDES[:frozen_stages])
        self.frozen_stages, self.norm_eval = frozen_stages, norm_eval
        indices = tuple(self.facts.indices[stride] for stride in strides)
        features = _create(model, out_indices=indices, drop_path_rate=drop_path_rate)
        self._adopt(features.model)
        self._indices = features.out_indices
        for module in self._frozen_modules():
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)

    def _adopt(self, network: nn.Module) -> None:
        """Share the network's children and weights, so that their names have no prefix."""
        for kind in ("_parameters", "_buffers", "_non_persistent_buffers_set", "_modules"):
            self.__dict__[kind] = network.__dict__[kind]
        self.__dict__["_network"] = network  # as a child it would add a prefix

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return maps (B, C_i, H_i, W_i), high resolution first, of images (B, 3, H, W)."""
        maps = self._network.forward_intermediates(
            x, indices=self._indices, output_fmt="NCHW", intermediates_only=True
        )
        return tuple(maps)

    def train(self, mode: bool = True) -> TimmBackbone:
        """Switch to training, except frozen modules and the norms that ``norm_eval`` keeps."""
        super().train(mode)
        self._network.training = mode
        for module in self._frozen_modules():
            module.training = False
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def init_weights(self) -> None:
        """Load the weights that ``init_cfg`` names.

        Raises:
            InputError: They can't be fetched, or are of another model.
        """
        if not self.init_cfg or self._is_init:
            return
        source = self.init_cfg["checkpoint"]
        weights = self._read(source, self.init_cfg.get("prefix", ""))
        self.load_state_dict(_fitting(self, weights, source))
        self._is_init = True

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that do not decay, by timm's convention.

        They are biases, vectors (norms, layer scales) and the parameters that the model names. A
        layer scale may have the shape (C, 1, 1).
        """
        named: Iterable[str] = getattr(self._network, "no_weight_decay", set)()
        return {*named} | {
            name
            for name, parameter in self.named_parameters()
            if name.endswith(".bias") or parameter.shape[1:] in ((), (1, 1))
        }

    def _read(self, source: str, prefix: str) -> dict[str, Tensor]:
        if source == HUB:
            return _fetch(self.model_name)
        content = CheckpointLoader.load_checkpoint(source, map_location="cpu")
        weights = content.get("state_dict", content)
        return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}

    def _frozen_modules(self) -> Iterator[nn.Module]:
        """Yield each module up to that of the last frozen map, in timm's order."""
        if not self.frozen_stages:
            return
        last = self.facts.modules[STRIDES[self.frozen_stages - 1]]
        modules = list(self.named_modules())
        ends = [i for i, (name, _) in enumerate(modules) if f"{name}.".startswith(f"{last}.")]
        yield from (module for _, module in modules[1 : ends[-1] + 1])


@cache
def timm_facts(model: str) -> TimmFacts:
    """Return the facts about a model of timm; nothing is allocated or fetched.

    Raises:
        InputError: timm or torchvision is missing, or the model is unknown.
    """
    with torch.device("meta"):
        features, whole = _create(model), _timm().create_model(model)
    info, config = features.feature_info, features.pretrained_cfg
    strides = info.reduction()
    return TimmFacts(
        indices=dict(zip(strides, features.out_indices, strict=True)),
        channels=dict(zip(strides, info.channels(), strict=True)),
        modules=dict(zip(strides, info.module_name(), strict=True)),
        names={name: tuple(weight.shape) for name, weight in whole.state_dict().items()},
        mean=[255 * value for value in config["mean"]],
        std=[255 * value for value in config["std"]],
    )


def read_from_backbone(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what a model's parts leave to a backbone of timm.

    A mask head's or neck's ``in_channels=None`` becomes the channels of the backbone's maps, and a
    preprocessor's ``mean=None`` and ``std=None`` become those of its pretrained weights.

    Args:
        parts: Key of the model's config -> part; not changed.
    """
    backbone, filled = parts.get("backbone"), dict(parts)
    if not backbone or not is_type(backbone.get("type"), MODELS, TimmBackbone):
        return filled
    facts, strides = timm_facts(backbone["model"]), backbone.get("strides", STRIDES)
    _check_strides(backbone["model"], facts, strides)
    known = dict(
        in_channels=[facts.channels[stride] for stride in strides], mean=facts.mean, std=facts.std
    )
    for name, part in parts.items():
        if isinstance(part, dict):
            read = {k: v for k, v in known.items() if k in part and part[k] is None}
            filled[name] = type(part)({**part, **read})
    return filled


def split_name(name: str) -> tuple[str, str]:
    """Return a name of configs and the model of timm after it: ``m2f_timm/NAME``, or no model."""
    before, _, model = name.partition("/")
    return (before, model) if model and before.split("_")[-1] == "timm" else (name, "")


def _timm() -> Any:
    try:
        import timm
    except (ImportError, OSError, RuntimeError) as error:  # of a torchvision for another torch
        raise InputError(
            f"mmproscale.TimmBackbone needs timm and a torchvision that fits torch "
            f"{torch.__version__} ({str(error).splitlines()[0]}): pip install timm torchvision"
        ) from error
    return timm


def _create(model: str, **arguments: Any) -> Any:
    """Return timm's model that returns maps, by the names of its weights in the classifier.

    Raises:
        InputError: An unknown model, one without maps, or one without one of the arguments.
    """
    timm = _timm()
    _check_name(model)
    given = {key: value for key, value in arguments.items() if value is not None}
    for size in (dict(strict_img_size=False), {}):  # Swin takes its images' size as an argument
        try:
            return timm.create_model(
                model, features_only=True, feature_cls="getter", **given, **size
            )
        except TypeError as error:
            refused = error
        except (AssertionError, AttributeError, RuntimeError) as error:
            raise InputError(f"backbone.model={model}: timm has no maps of it: {error}") from error
    raise InputError(f"backbone.model={model} does not take an argument: {refused}")


def _check_name(model: str) -> None:
    timm = _timm()
    name, _, tag = model.partition(".")
    tagged = timm.list_pretrained(f"{name}.*") if timm.is_model(name) else []
    if timm.is_model(name) and (not tag or model in tagged):
        return
    known = tagged or timm.list_models()
    close = get_close_matches(model if tagged else name, known, 1, 0.5)
    hint = f"did you mean {close[0]}?" if close else "timm.list_models() lists the names"
    raise InputError(f"backbone.model={model} is not a model of timm {timm.__version__}: {hint}")


def _check_strides(model: str, facts: TimmFacts, wanted: Sequence[int]) -> None:
    missing = [stride for stride in wanted if stride not in facts.indices]
    if missing:
        raise InputError(
            f"backbone.model={model} has maps at strides {', '.join(map(str, facts.indices))} and "
            f"none at {', '.join(map(str, missing))}: take a model that has"
        )


def _fetch(model: str) -> dict[str, Tensor]:
    try:
        return _timm().create_model(model, pretrained=True).state_dict()
    except Exception as error:  # of any of the libraries that fetch
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"timm could not fetch the weights of {model} ({said}): give a file as "
            "model.backbone.init_cfg.checkpoint, or start without by "
            "`--cfg-options model.backbone.init_cfg=None`"
        ) from error


def _fitting(
    backbone: TimmBackbone, weights: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """Return a backbone's weights, found by timm's names or by timm's order and shapes."""
    own, names = backbone.state_dict(), backbone.facts.names
    if [tuple(weight.shape) for weight in weights.values()] == list(names.values()):
        weights = dict(zip(names, weights.values(), strict=True))
    found = {k: weights[k] for k in own if k in weights and weights[k].shape == own[k].shape}
    missing = [k for k in own if k not in found and not k.endswith("num_batches_tracked")]
    if missing:
        raise InputError(
            f"{source} has {len(found)} of the {len(own)} weights of timm's {backbone.model_name}; "
            f"{missing[0]} is missing or has another shape: give the weights of this model"
        )
    return own | found
