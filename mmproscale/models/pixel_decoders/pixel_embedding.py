"""Pixel embeddings of the fused stride-4 map: Mask2Former's 3x3 convolution and PRO-SCALE's LPE."""

from __future__ import annotations

from mmcv.cnn import ConvModule, build_activation_layer, build_norm_layer
from mmengine.model import BaseModule, caffe2_xavier_init
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.ops.cpu_inference import max_pool_3x3, serves
from mmproscale.registry import MODELS

POOLINGS = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


@MODELS.register_module()
class ConvPixelEmbedding(ConvModule):
    """Mask2Former's pixel embedding of (B, C, H, W): 3x3 convolution, normalisation, activation.

    Args:
        embed_dims: Channels C.
    """

    def __init__(
        self, embed_dims: int = 256, norm_cfg: dict | None = None, act_cfg: dict | None = None
    ) -> None:
        super().__init__(
            embed_dims,
            embed_dims,
            kernel_size=3,
            padding=1,
            bias=norm_cfg is None,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        )

    def init_weights(self) -> None:
        """Initialise as Mask2Former does."""
        caffe2_xavier_init(self.conv, bias=0)


@MODELS.register_module(name=["LightPixelEmbedding", "LPE"])
class LightPixelEmbedding(BaseModule):
    """LPE (PRO-SCALE section 3.1.2): 3x3 pooling, normalisation, activation.

    Args:
        embed_dims: Channels C.
        pooling: ``'max'``, or ``'average'`` (Table T3).

    Raises:
        InputError: An unknown ``pooling``.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        pooling: str = "max",
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if pooling not in POOLINGS:
            raise InputError(f"LPE pooling={pooling!r} must be one of {tuple(POOLINGS)}")
        self.pool = POOLINGS[pooling](kernel_size=3, stride=1, padding=1)
        # The norm has the same name as in a ConvModule (gn), so that checkpoint keys agree.
        norm_cfg = norm_cfg or dict(type="GN", num_groups=32)
        self.norm_name, norm = build_norm_layer(norm_cfg, embed_dims)
        self.add_module(self.norm_name, norm)
        # In place, as in a ConvModule: the map of a large image takes longer to allocate.
        act_cfg = act_cfg or dict(type="ReLU")
        in_place = dict(inplace=True) if act_cfg["type"] == "ReLU" else {}
        self.activate = build_activation_layer(in_place | act_cfg)

    def forward(self, fused: Tensor) -> Tensor:
        """Return the embedding (B, C, H, W) of a fused map of the same shape."""
        is_fast = isinstance(self.pool, nn.MaxPool2d) and serves(self, fused)
        pooled = max_pool_3x3(fused) if is_fast else self.pool(fused)
        return self.activate(getattr(self, self.norm_name)(pooled))
