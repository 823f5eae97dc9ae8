"""Models of our configs, and the same network of mmdet's own parts."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from mmcv.ops import multi_scale_deform_attn
from mmdet.models import Mask2Former
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from mmproscale.apis.config import load_config
from mmproscale.errors import InputError
from mmproscale.ops import mmcv_attention

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def config_file(name: str) -> Path:
    """A config's file: of configs/ by its bare name, or any by its path."""
    in_configs = CONFIGS / f"{name}.py"
    return in_configs if in_configs.is_file() else Path(name)


def model_config(name: str) -> ConfigDict:
    """The model of a config, its backbone without weights to fetch."""
    model = load_config(config_file(name)).model
    model.backbone.init_cfg = None
    return model


def stock_twin(model: ConfigDict) -> ConfigDict:
    """The model with mmdet's Mask2Former head and pixel decoder in the place of ours.

    Raises:
        InputError: Its schedule is not Mask2Former's, so mmdet has no such pixel decoder.
    """
    twin = copy.deepcopy(model)
    decoder = twin.panoptic_head.pixel_decoder
    schedule = decoder.encoder.pop("schedule")
    if schedule.type != "m2f":
        raise InputError(f"mmdet has no pixel decoder with schedule {schedule.type}: name an m2f_*")
    decoder.encoder.num_layers = schedule.layers
    decoder.type, twin.panoptic_head.type = "MSDeformAttnPixelDecoder", "Mask2FormerHead"
    return twin


def weights_of_stock(model: ConfigDict) -> dict[str, Tensor]:
    """Random weights of the model's :func:`stock_twin`, the same at each call."""
    return build(stock_twin(model)).state_dict()


def build(model: ConfigDict, weights: Mapping[str, Tensor] | None = None) -> Mask2Former:
    """The model with random weights, or with those given where name and shape are the same."""
    init_default_scope("mmdet")
    _be_quiet()
    torch.manual_seed(0)
    built = MODELS.build(model)
    built.init_weights()
    for name, parameter in built.named_parameters():
        # mmcv begins with offsets and shares that are the same for all queries.
        if name.endswith(("sampling_offsets.weight", "attention_weights.weight")):
            nn.init.normal_(parameter, std=0.1)
    own = built.state_dict()
    fitting = {k: w for k, w in (weights or {}).items() if k in own and own[k].shape == w.shape}
    built.load_state_dict(fitting, strict=False)
    return built


def _be_quiet() -> None:
    if not MMLogger.check_instance_created("benchmarks"):
        MMLogger.get_instance("benchmarks", log_level="ERROR")  # else each weight has its line
    warnings.filterwarnings("ignore", message="torch.meshgrid")  # in mmdet's position encoding


@contextmanager
def stock_attention() -> Iterator[None]:
    """Inside, stock modules attend as without us: mmcv's compiled op or else its PyTorch form."""
    module = multi_scale_deform_attn
    fallback = module.multi_scale_deformable_attn_pytorch.__wrapped__
    compiled = torch.cuda.is_available() and not mmcv_attention.refuses(torch.zeros(1).cuda())
    with (
        mock.patch.object(module, "multi_scale_deformable_attn_pytorch", fallback),
        # On CUDA without compiled ops stock runs not at all; what it has on a CPU comes nearest.
        mock.patch.object(module, "IS_CUDA_AVAILABLE", compiled),
    ):
        yield
