"""Queries to classes and masks, and their losses: what both frameworks' heads share."""

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
from mmproscale.models.criterion.class_weights import weights_by_name
from mmproscale.models.heads.multi_exit_loss import build_exit_loss
from mmproscale.models.layers.sine_position import sine_position
from mmproscale.models.layers.token_layout import to_tokens
from mmproscale.models.pixel_decoders.pixel_decoder import Encoded, PixelDecoder
from mmproscale.models.query_decoders import QueryDecoder

# What mmdet's own layer and attention take, of what layer_cfg and its cross_attn_cfg may have.
PLAIN_LAYER = ("self_attn_cfg", "cross_attn_cfg", "ffn_cfg", "norm_cfg", "init_cfg")
PLAIN_ATTENTION = ("embed_dims", "num_heads", "attn_drop", "proj_drop", "dropout", "batch_first")

MaskEmbed = Callable[[Tensor], tuple[Tensor, Tensor | None]]


class MaskHead(Mask2FormerHead):
    """Mask2Former's head: mmdet's arguments and weights, and nothing computed that is not needed.

    Attention masks are computed at the size in which they are used, full-size masks only where a
    result is asked for, and in training those of matched queries alone.

    Args:
        class_weight: Weights of classes by their names, for the class loss, in the place of those
            in ``loss_cls.class_weight``. Names are the dataset's: see :meth:`name_classes`.
        exit_loss: Config of what trains several exits of the pixel decoder, as
            ``dict(type='mmproscale.MultiExitLoss')``; None for the loss after all layers.

    Raises:
        InputError: A ``train_cfg`` whose assigner has no ``match_costs``; numbers of levels that
            differ; an ``exit_loss``, and a pixel decoder with a single exit.
    """

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
        pixel_decoder = _with_levels(pixel_decoder, num_transformer_feat_level)
        _check_levels(pixel_decoder, num_transformer_feat_level)
        super().__init__(
            *args,
            pixel_decoder=pixel_decoder,
            transformer_decoder=_stock_decoder(transformer_decoder),
            num_transformer_feat_level=num_transformer_feat_level,
            **kwargs,
        )
        self.transformer_decoder = QueryDecoder(**transformer_decoder)
        self.num_transformer_decoder_layers = self.transformer_decoder.num_layers
        self._own_decoder = isinstance(self.pixel_decoder, PixelDecoder)  # else stock's
        if self._own_decoder:
            self._project_maps(self.pixel_decoder.map_channels)
        if not self.transformer_decoder.layers:  # nobody reads them, and training asks who does
            self.query_embed.requires_grad_(False)
            self.level_embed.requires_grad_(False)
        self.criterion = self._build_criterion() if self.train_cfg else None
        exits = self.pixel_decoder.exits if self._own_decoder else ()
        self.exit_loss = build_exit_loss(exit_loss, exits) if exit_loss else None
        self._unnamed_weights = dict(class_weight or {})

    def name_classes(self, names: Sequence[str]) -> None:
        """Say the classes' names, in the order of labels: what is stated by name takes effect.

        Raises:
            InputError: ``class_weight`` has a name that is no class, or what is no weight.
        """
        if not self._unnamed_weights or self.criterion is None:
            return
        weights = weights_by_name(self._unnamed_weights, names, self.class_weight)
        self._unnamed_weights = {}
        self.class_weight = self.loss_cls.class_weight = weights
        self.criterion = replace(self.criterion, class_weight=weights)

    def forward(
        self, x: Sequence[Tensor], batch_data_samples: object = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Class logits (B, Q, classes + 1) and masks (B, Q, H, W) of each layer, as mmdet's."""
        predictions = self.decode(x)
        layers = range(len(predictions.class_logits))
        return list(predictions.class_logits), [predictions.masks(layer) for layer in layers]

    def losses(self, feats: Sequence[Tensor], targets: Sequence[Targets]) -> dict[str, Tensor]:
        """Losses of backbone maps by mmdet's names, those of an exit after its own: ``exit4.``.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.
            targets: Ground truth of each image.

        Raises:
            InputError: A model without ``train_cfg``, or one that weighs classes by names that
                nobody has told it; not one target for each image.
            FloatingPointError: A matching cost that is not a number.
        """
        if self.criterion is None:
            raise InputError("the model has no train_cfg, so it has no losses: give it one")
        if self._unnamed_weights:
            raise InputError(
                "the head's class_weight names classes, and nobody has told it which they are: add "
                "dict(type='mmproscale.ClassNamesHook') to custom_hooks"
            )
        if self.exit_loss is not None:
            decoder, losses_at = self.pixel_decoder, partial(self._losses_at, feats, targets)
            return self.exit_loss(decoder.exits, decoder.encoder, losses_at)
        return self.criterion(self.decode(feats, project_queries=False), targets)

    def decode(self, feats: Sequence[Tensor], project_queries: bool = True) -> QueryPredictions:
        """What the queries predict for backbone maps (B, C_i, H_i, W_i), high resolution first.

        Args:
            feats: The maps.
            project_queries: Whether the mask projection is laid on the queries and not on the
                pixels, of which there are a thousand times more: (W x + b) q = x (W' q) + b q.
                Losses, which look at some points alone, take the pixels'.
        """
        if not self._own_decoder:
            pixels, maps = self.pixel_decoder(feats)
            return self._query(maps, pixels, self._embed)
        return self._read(self.pixel_decoder.embed(feats), project_queries)

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
            exits: Some of the pixel decoder's.
            project_queries: As :meth:`decode`'s.
            with_cp: Whether all that an exit adds is computed again in the backward pass, which
                saves memory.
        """
        read = partial(checkpoint, self._read, use_reentrant=False) if with_cp else self._read
        for encoded in self.pixel_decoder.encode(feats, exits, with_cp):
            yield encoded.exits[0], read(encoded, project_queries)

    def _losses_at(
        self,
        feats: Sequence[Tensor],
        targets: Sequence[Targets],
        exits: Sequence[int],
        with_cp: bool,
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        for exit_, predictions in self.decode_exits(feats, exits, False, with_cp):
            yield exit_, self.criterion(predictions, targets)

    def _read(self, encoded: Encoded, project_queries: bool) -> QueryPredictions:
        """Return predictions from encoded maps and the embedding before the mask projection."""
        decoder = self.pixel_decoder
        if project_queries and decoder.projects_linearly:
            pixels, mask_embed = encoded.embedding, self._embed_through_projection
        else:
            pixels, mask_embed = decoder.mask_feature(encoded.embedding), self._embed
        return replace(self._query(encoded.maps, pixels, mask_embed), exits=encoded.exits)

    def _query(
        self, maps: Sequence[Tensor], pixels: Tensor, mask_embed: MaskEmbed
    ) -> QueryPredictions:
        """What the queries predict from maps and what their mask embeddings are multiplied by."""
        maps = maps[: self._levels_read]
        outputs, mask_embeddings, bias = self.transformer_decoder(
            queries=self.query_feat.weight.expand(len(pixels), -1, -1),
            query_pos=self.query_embed.weight[None],
            memories=self._memories(maps),
            memory_pos=[sine_position(self.decoder_positional_encoding, m) for m in maps],
            mask_features=[
                F.interpolate(pixels.detach(), m.shape[-2:], mode="bilinear") for m in maps
            ],
            mask_embed=mask_embed,
        )
        return QueryPredictions(self.cls_embed(outputs), mask_embeddings, pixels, bias)

    def _embed(self, queries: Tensor) -> tuple[Tensor, None]:
        return self.mask_embed(queries), None

    def _embed_through_projection(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Mask embeddings that are for pixels before the projection, (B, Q, C), and (B, Q, 1)."""
        embedding, projection = self.mask_embed(queries), self.pixel_decoder.mask_feature
        return embedding @ projection.weight.flatten(1), embedding @ projection.bias[:, None]

    def _project_maps(self, channels: int) -> None:
        """Project maps of so many channels to the queries' width; mmdet's head knows one width."""
        width = self.transformer_decoder.embed_dims
        if channels != width:
            self.decoder_input_projs = ModuleList(
                nn.Conv2d(channels, width, kernel_size=1) for _ in range(self._levels_read)
            )

    @property
    def _levels_read(self) -> int:
        """How many maps the decoder's layers get to, lowest resolution first."""
        return min(self.num_transformer_feat_level, self.num_transformer_decoder_layers)

    def _memories(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [
            to_tokens(project(m)) + level
            for m, project, level in zip(
                maps, self.decoder_input_projs, self.level_embed.weight, strict=False
            )
        ]

    def _build_criterion(self) -> MaskCriterion:
        costs = getattr(self.assigner, "match_costs", None)
        if costs is None:
            raise InputError(
                f"train_cfg.assigner {type(self.assigner).__name__} has no match_costs: use "
                "HungarianAssigner"
            )
        return MaskCriterion(
            loss_cls=self.loss_cls,
            loss_mask=self.loss_mask,
            loss_dice=self.loss_dice,
            class_weight=self.class_weight,
            match_costs=costs,
            num_points=self.num_points,
            oversample_ratio=self.oversample_ratio,
            importance_ratio=self.importance_sample_ratio,
        )


def _with_levels(pixel_decoder: Mapping, num_levels: int) -> ConfigDict:
    """With what mmdet reads the number of levels from, where there is no encoder to say it."""
    levels = dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=num_levels)))
    return ConfigDict(dict(encoder=levels) | dict(pixel_decoder))


def _stock_decoder(config: Mapping) -> ConfigDict:
    """A decoder that mmdet can build, in whose place ours comes: plain layers, one at least."""
    config = ConfigDict(copy.deepcopy(dict(config)))
    layer = {key: value for key, value in config.layer_cfg.items() if key in PLAIN_LAYER}
    attention = layer["cross_attn_cfg"].items()
    layer["cross_attn_cfg"] = {key: value for key, value in attention if key in PLAIN_ATTENTION}
    config.layer_cfg = layer
    config.num_layers = max(1, config.num_layers)
    return config


def _check_levels(pixel_decoder: ConfigDict, wanted: int) -> None:
    """mmdet asserts the first of these without a word, and fails far off at the second."""
    encoded = pixel_decoder.encoder.layer_cfg.self_attn_cfg.num_levels
    given = pixel_decoder.get("num_outs", 3)
    if not wanted == encoded == given:
        raise InputError(
            f"num_transformer_feat_level={wanted}, pixel_decoder.num_outs={given} and "
            f"pixel_decoder.encoder.layer_cfg.self_attn_cfg.num_levels={encoded} must be the same: "
            "the number of the schedule's levels"
        )
