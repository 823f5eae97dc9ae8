"""Common part of the mask heads for mmdet and mmseg: query predictions and their losses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch.nn.functional as F
from mmdet.models.dense_heads import Mask2FormerHead
from mmengine.config import ConfigDict
from mmengine.model import ModuleList
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmproscale.errors import InputError
from mmproscale.models.criterion import MaskCriterion, QueryPredictions, Targets
from mmproscale.models.criterion.class_weights import check_number, weights_by_name
from mmproscale.models.heads.multi_exit_loss import build_exit_loss
from mmproscale.models.layers.sine_position import sine_position
from mmproscale.models.layers.token_layout import to_tokens
from mmproscale.models.pixel_decoders.pixel_decoder import Encoded, PixelDecoder
from mmproscale.models.query_decoders import QueryDecoder

# Keys of layer_cfg and its cross_attn_cfg that mmdet's own layer and attention take.
LAYER_KEYS = ("self_attn_cfg", "cross_attn_cfg", "ffn_cfg", "norm_cfg", "init_cfg")
ATTENTION_KEYS = ("embed_dims", "num_heads", "attn_drop", "proj_drop", "dropout", "batch_first")

Criterion = Callable[[QueryPredictions], dict[str, Tensor]]
MaskEmbed = Callable[[Tensor], tuple[Tensor, Tensor | None]]


class MaskHead(Mask2FormerHead):
    """Mask2Former's head with mmdet's arguments and weights that computes fewer masks.

    Attention masks are computed at the size at which they are used. Full-size masks are computed
    only for results, and in training only for matched queries.

    Args:
        class_weight: Weights of the class loss by class name, which replace those of
            ``loss_cls.class_weight``. The names are the dataset's, see :meth:`name_classes`.
        exit_loss: Config of the loss of several exits, ``dict(type='mmproscale.MultiExitLoss')``;
            None for the losses after all layers.

    Raises:
        InputError: No query; a ``train_cfg`` whose assigner has no ``match_costs``; numbers of
            levels that differ; an ``exit_loss`` with a pixel decoder that has at most one exit.
    """

    class_weight: Sequence[float] | None
    decoder_input_projs: ModuleList

    def __init__(
        self,
        *args,
        pixel_decoder: ConfigDict,
        transformer_decoder: dict,
        num_transformer_feat_level: int = 3,
        class_weight: Mapping[str, float] | None = None,
        exit_loss: dict | None = None,
        **kwargs,
    ) -> None:
        pixel_decoder = _with_num_levels(pixel_decoder, num_transformer_feat_level)
        _check_levels(pixel_decoder, num_transformer_feat_level)
        super().__init__(
            *args,
            pixel_decoder=pixel_decoder,
            transformer_decoder=_stock_decoder(transformer_decoder),
            num_transformer_feat_level=num_transformer_feat_level,
            **kwargs,
        )
        if self.num_queries < 1:
            raise InputError(f"num_queries={self.num_queries}: expected 1 or more")
        self.transformer_decoder = QueryDecoder(**transformer_decoder)
        self.num_transformer_decoder_layers = self.transformer_decoder.num_layers
        self._is_own_decoder = isinstance(self.pixel_decoder, PixelDecoder)
        if self._is_own_decoder:
            self._project_maps(self.pixel_decoder.map_channels)
        # DDP waits for the gradients of all parameters, so none may be unused.
        self.decoder_input_projs = self.decoder_input_projs[: self._num_levels_read]
        if not self.transformer_decoder.layers:
            self.query_embed.requires_grad_(False)
            self.level_embed.requires_grad_(False)
        self.criterion = self._build_criterion() if self.train_cfg else None
        exits = self.pixel_decoder.exits if self._is_own_decoder else ()
        self.exit_loss = build_exit_loss(exit_loss, exits) if exit_loss else None
        self._named_weights = dict(class_weight or {})

    def name_classes(self, names: Sequence[str]) -> None:
        """Take the class names, in the order of labels, and apply ``class_weight`` by name.

        Raises:
            InputError: ``class_weight`` has an unknown name or an invalid weight.
        """
        if not self._named_weights or self.criterion is None:
            return
        weights = weights_by_name(self._named_weights, names, self.class_weight)
        self._named_weights = {}
        self.class_weight = self.loss_cls.class_weight = weights
        self.criterion = replace(self.criterion, class_weight=weights)

    def forward(
        self, x: Sequence[Tensor], batch_data_samples: object = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return class logits (B, Q, classes + 1) and masks (B, Q, H, W) by layer, as mmdet."""
        predictions = self.decode(x)
        layers = range(len(predictions.class_logits))
        return list(predictions.class_logits), [predictions.masks(layer) for layer in layers]

    def losses(self, feats: Sequence[Tensor], targets: Sequence[Targets]) -> dict[str, Tensor]:
        """Return losses by mmdet's names; an ``exit_loss`` adds the exit as a prefix, ``exit4.``.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.
            targets: Ground truth of each image.

        Raises:
            InputError: The head has no ``train_cfg``, a ``class_weight`` by name but no class
                names, or weights for another number of classes; the number of targets is not the
                number of images.
            FloatingPointError: A matching cost is not finite.
        """
        if self.criterion is None:
            raise InputError("the model has no train_cfg, so it has no losses: set train_cfg")
        if self._named_weights:
            raise InputError(
                "the head's class_weight has class names, but the head does not know the dataset's "
                "classes: add dict(type='mmproscale.ClassNamesHook') to custom_hooks"
            )
        check_number(self.class_weight, self.num_classes)
        criterion = partial(self.criterion, targets=targets)
        if self.exit_loss is not None:
            decoder, losses_at = self.pixel_decoder, partial(self._losses_at, feats, criterion)
            return self.exit_loss(decoder.exits, decoder.encoder, losses_at)
        return criterion(self.decode(feats, project_queries=False))

    def decode(self, feats: Sequence[Tensor], project_queries: bool = True) -> QueryPredictions:
        """Return the queries' predictions for backbone maps.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.
            project_queries: Apply the mask projection to the queries instead of the pixels, of
                which there are a thousand times more: (W x + b) q = x (W' q) + b q. Losses sample
                the projected pixels at some points, and need False.
        """
        if not self._is_own_decoder:
            pixels, maps = self.pixel_decoder(feats)
            return self._run_decoder(maps, pixels, self._embed_for_mask_features)
        return self._predict(self.pixel_decoder.embed(feats), project_queries)

    def decode_exits(
        self,
        feats: Sequence[Tensor],
        exits: Sequence[int],
        project_queries: bool = True,
        with_cp: bool = False,
    ) -> Iterator[tuple[int, QueryPredictions]]:
        """Yield (exit, predictions) where all images leave the encoder at one exit, ascending.

        The encoder runs once, the query decoder once for each exit.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.
            exits: Some of the pixel decoder's exits.
            project_queries: As in :meth:`decode`.
            with_cp: Compute the parts of each exit again in the backward pass, which saves memory.
        """
        run = partial(checkpoint, self._predict, use_reentrant=False) if with_cp else self._predict
        for exit_, encoded in zip(
            exits, self.pixel_decoder.encode(feats, exits, with_cp), strict=True
        ):
            yield exit_, run(encoded, project_queries)

    def _losses_at(
        self, feats: Sequence[Tensor], criterion: Criterion, exits: Sequence[int], with_cp: bool
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        for exit_, predictions in self.decode_exits(feats, exits, False, with_cp):
            yield exit_, criterion(predictions)

    def _predict(self, encoded: Encoded, project_queries: bool) -> QueryPredictions:
        """Return predictions from encoded maps and the embedding before the mask projection."""
        pixels, mask_embed = encoded.embedding, self._embed_for_unprojected_pixels
        if not (project_queries and self.pixel_decoder.projects_linearly):
            pixels = self.pixel_decoder.mask_feature(encoded.embedding)
            mask_embed = self._embed_for_mask_features
        return replace(self._run_decoder(encoded.maps, pixels, mask_embed), exits=encoded.exits)

    def _run_decoder(
        self, maps: Sequence[Tensor], pixels: Tensor, mask_embed: MaskEmbed
    ) -> QueryPredictions:
        """Return predictions from maps and the pixels (B, C, H, W) that embeddings multiply."""
        maps = maps[: self._num_levels_read]
        outputs, mask_embeddings, bias = self.transformer_decoder(
            queries=self.query_feat.weight.expand(pixels.shape[0], -1, -1),
            query_pos=self.query_embed.weight[None],
            memories=self._memories(maps),
            memory_pos=[sine_position(self.decoder_positional_encoding, m) for m in maps],
            mask_features=[
                F.interpolate(pixels.detach(), m.shape[-2:], mode="bilinear") for m in maps
            ],
            mask_embed=mask_embed,
        )
        return QueryPredictions(self.cls_embed(outputs), mask_embeddings, pixels, bias)

    def _embed_for_mask_features(self, queries: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.mask_embed(queries), None

    def _embed_for_unprojected_pixels(self, queries: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return mask embeddings (B, Q, C) and bias (B, Q, 1) for pixels before the projection."""
        embedding, projection = self.mask_embed(queries), self.pixel_decoder.mask_feature
        return embedding @ projection.weight.flatten(1), embedding @ projection.bias[:, None]

    def _project_maps(self, channels: int) -> None:
        """Project maps to the queries' width, if they have another; mmdet's head does not."""
        width = self.transformer_decoder.embed_dims
        if channels != width:
            self.decoder_input_projs = ModuleList(
                nn.Conv2d(channels, width, kernel_size=1) for _ in range(self._num_levels_read)
            )

    @property
    def _num_levels_read(self) -> int:
        """Number of maps that the decoder's layers read, lowest resolution first."""
        return min(self.num_transformer_feat_level, self.num_transformer_decoder_layers)

    def _memories(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [
            to_tokens(project(m)) + level
            for m, project, level in zip(
                maps, self.decoder_input_projs, self.level_embed.weight, strict=False
            )
        ]

    def _build_criterion(self) -> MaskCriterion:
        # mmdet copies class weights to the device in each call; the criterion does it once.
        loss_cls = copy.copy(self.loss_cls)
        loss_cls.class_weight = None
        costs = getattr(self.assigner, "match_costs", None)
        if costs is None:
            raise InputError(
                f"train_cfg.assigner {type(self.assigner).__name__} has no match_costs: use "
                "HungarianAssigner"
            )
        return MaskCriterion(
            loss_cls=loss_cls,
            loss_mask=self.loss_mask,
            loss_dice=self.loss_dice,
            class_weight=self.class_weight,
            match_costs=costs,
            num_points=self.num_points,
            oversample_ratio=self.oversample_ratio,
            importance_ratio=self.importance_sample_ratio,
        )


def _with_num_levels(pixel_decoder: Mapping, num_levels: int) -> ConfigDict:
    """Add the key from which mmdet reads the number of levels, if the config has no encoder."""
    levels = dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=num_levels)))
    return ConfigDict(dict(encoder=levels) | dict(pixel_decoder))


def _stock_decoder(config: Mapping) -> ConfigDict:
    """Return a config of a decoder that mmdet can build and ours replaces: at least one layer."""
    stock = ConfigDict(copy.deepcopy(dict(config)))
    layer = {key: value for key, value in stock.layer_cfg.items() if key in LAYER_KEYS}
    attention = layer["cross_attn_cfg"].items()
    layer["cross_attn_cfg"] = {key: value for key, value in attention if key in ATTENTION_KEYS}
    stock.layer_cfg = layer
    stock.num_layers = max(1, stock.num_layers)
    return stock


def _check_levels(pixel_decoder: ConfigDict, wanted: int) -> None:
    """Raise InputError if numbers of levels differ, which mmdet reports late or without a text."""
    encoded = pixel_decoder.encoder.layer_cfg.self_attn_cfg.num_levels
    num_outs = pixel_decoder.get("num_outs", 3)
    if not wanted == encoded == num_outs:
        raise InputError(
            f"num_transformer_feat_level={wanted}, pixel_decoder.num_outs={num_outs} and "
            f"pixel_decoder.encoder.layer_cfg.self_attn_cfg.num_levels={encoded} must be the same: "
            "the number of the schedule's levels"
        )
