"""Early exits of mmdet's detection transformers (ECO-M2F, Table 7): exits, gate, losses of step A.

The mixin comes before one of mmdet's classes and keeps its flow: pre_transformer -> encoder ->
pre_decoder -> decoder -> head. ECO-DETR is the mixin before mmdet's DETR.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from mmdet.models import DETR, DINO, DetectionTransformer
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mmproscale.models.detectors.batch_independence import BatchIndependent
from mmproscale.models.detectors.early_exit_model import EarlyExitModel, Samples, record_exits
from mmproscale.models.encoders.dense_encoder import MAP_STRIDE, DenseEncoder
from mmproscale.models.encoders.exit_gate import EarlyExits, mean_over_tokens
from mmproscale.models.heads.multi_exit_loss import build_exit_loss
from mmproscale.registry import MODELS

Inputs = dict[str, Any]


class EarlyExitDetector(EarlyExits, BatchIndependent, EarlyExitModel, DetectionTransformer):
    """Mixin of a detection transformer in which each image leaves the encoder at its own exit.

    The class that it is mixed into has the ``strides`` of its maps, high resolution first, an
    ``encoder`` with ``schedule`` and ``layer_costs``, an :meth:`encode_exits`, and a
    ``forward_encoder`` that also takes ``exits``, one for each image.

    Args:
        exits: Numbers of layers after which an image may leave the encoder; by default those of the
            schedule, with a gate from two layers on.
        exit_gate: Config of the gate that chooses each image's exit in evaluation,
            ``dict(type='ExitGate')``; None for the last exit.
        exit: Exit of every image in evaluation; it overrides the gate.
        exit_loss: Config of the loss of several exits, ``dict(type='mmproscale.MultiExitLoss')``;
            None for the losses after all layers.

    Raises:
        InputError: An exit that the schedule does not have; a gate or an ``exit_loss`` without two
            exits.
    """

    def __init__(
        self,
        *args,
        exits: Sequence[int] | None = None,
        exit_gate: dict | None = None,
        exit: int | None = None,
        exit_loss: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.set_exits(exits, exit_gate, exit, self.embed_dims)
        self.exit_loss = build_exit_loss(exit_loss, self.exits) if exit_loss else None

    def pre_transformer(
        self, img_feats: Sequence[Tensor], batch_data_samples: Samples
    ) -> tuple[Inputs, Inputs]:
        """Return mmdet's inputs of encoder and decoder.

        The encoder's get ``exits`` if an image leaves before the last exit. In evaluation each
        data sample's metainfo gets its exit as ``encoder_exit``.

        Args:
            img_feats: Maps (B, C, H_i, W_i) of the neck, high resolution first.
            batch_data_samples: One for each image.
        """
        encoder_inputs, decoder_inputs = super().pre_transformer(img_feats, batch_data_samples)
        features = partial(_gate_features, img_feats, encoder_inputs["feat_mask"])
        exits = self.image_exits(len(img_feats[-1]), features)
        if not self.training:
            record_exits(exits, batch_data_samples)
        if set(exits) != {self.encoder.schedule.exits[-1]}:
            encoder_inputs |= dict(exits=exits)
        return encoder_inputs, decoder_inputs

    def gate_input(self, feats: Sequence[Tensor], batch_data_samples: Samples) -> Tensor:
        """Return the gate's input (B, C): the mean of each image's coarsest tokens, not padding.

        Args:
            feats: Maps (B, C, H_i, W_i) of the neck, high resolution first.
            batch_data_samples: One for each image.
        """
        encoder_inputs, _ = super().pre_transformer(feats, batch_data_samples)
        return _gate_features(feats, encoder_inputs["feat_mask"])

    def loss(self, batch_inputs: Tensor, batch_data_samples: Samples) -> dict[str, Tensor]:
        """Return losses by mmdet's names; an ``exit_loss`` adds the exit as a prefix, ``exit4.``.

        Args:
            batch_inputs: (B, 3, H, W), normalised and padded.
            batch_data_samples: Ground truth of each image.
        """
        feats = self.extract_feat(batch_inputs)
        if self.exit_loss is None:
            head_inputs = self.forward_transformer(feats, batch_data_samples)
            return self._head_losses(head_inputs, batch_data_samples)
        losses_at = partial(self._losses_at, feats, batch_data_samples)
        return self.exit_loss(self.exits, self.encoder, losses_at)

    def forward_decoder(self, **inputs) -> Inputs:
        """Run mmdet's decoder, and take no more results of an image than there are candidates.

        Args:
            inputs: Arguments of mmdet's method.
        """
        decoded = super().forward_decoder(**inputs)
        stated, head = self.test_cfg, self.bbox_head
        if stated and "max_per_img" in stated:
            classes = head.num_classes if head.loss_cls.use_sigmoid else 1
            candidates = decoded["hidden_states"][-1].shape[1] * classes
            head.test_cfg = copy.copy(stated)
            head.test_cfg["max_per_img"] = min(stated["max_per_img"], candidates)
        return decoded

    def results_of(self, decoded: Inputs, batch_data_samples: Samples) -> Sequence[Any]:
        """Return each image's boxes, as :meth:`EarlyExitModel.results_of`."""
        return self.bbox_head.predict(**decoded, batch_data_samples=batch_data_samples)

    def decode_exits(
        self,
        feats: Sequence[Tensor],
        batch_data_samples: Samples,
        exits: Sequence[int],
        with_cp: bool = False,
    ) -> Iterator[tuple[int, Inputs]]:
        """Yield (exit, the head's inputs) where all images leave at one exit, ascending.

        The encoder runs once, the decoder once for each exit.

        Args:
            feats: Maps of the neck, high resolution first.
            batch_data_samples: One for each image.
            exits: Some of the model's exits.
            with_cp: Compute the decoder again in the backward pass, which saves memory.
        """
        decode = partial(checkpoint, self._decode, use_reentrant=False) if with_cp else self._decode
        encoder_inputs, decoder_inputs = super().pre_transformer(feats, batch_data_samples)
        for exit_, encoded in self.encode_exits(exits, **encoder_inputs):
            yield exit_, decode(encoded, decoder_inputs, batch_data_samples)

    @abstractmethod
    def encode_exits(self, exits: Sequence[int], **inputs) -> Iterator[tuple[int, Inputs]]:
        """Yield (exit, output of mmdet's ``forward_encoder``) at each exit, ascending.

        Args:
            exits: Some of the encoder's exits; layers that exits share run once.
            inputs: Arguments of mmdet's ``forward_encoder``.
        """

    def _decode(self, encoded: Inputs, decoder_inputs: Inputs, samples: Samples) -> Inputs:
        """Return the head's inputs, as the end of mmdet's ``forward_transformer`` does."""
        # DINO and its subclasses make noisy queries from the ground truth.
        truth = dict(batch_data_samples=samples) if isinstance(self, DINO) else {}
        queries, head_inputs = self.pre_decoder(**encoded, **truth)
        return head_inputs | self.forward_decoder(**(decoder_inputs | queries))

    def _losses_at(
        self, feats: Sequence[Tensor], samples: Samples, exits: Sequence[int], with_cp: bool
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        for exit_, head_inputs in self.decode_exits(feats, samples, exits, with_cp):
            yield exit_, self._head_losses(head_inputs, samples)

    def _head_losses(self, head_inputs: Inputs, samples: Samples) -> dict[str, Tensor]:
        """Return the head's losses in fp32, also under autocast: DDQ's fail in half precision."""
        with torch.autocast(head_inputs["hidden_states"][0].device.type, enabled=False):
            return self.bbox_head.loss(**_in_fp32(head_inputs), batch_data_samples=samples)


def _in_fp32(value: Any) -> Any:
    """Cast half-precision tensors in dicts, lists and tuples."""
    if isinstance(value, dict):
        return {key: _in_fp32(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_in_fp32(part) for part in value]
    is_half = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if is_half else value


def _gate_features(feats: Sequence[Tensor], padding: Tensor | None) -> Tensor:
    """Return the mean token of the coarsest map, (B, C).

    Args:
        feats: Maps (B, C, H_i, W_i), high resolution first.
        padding: (B, N) bool over the tokens of all maps in that order; None without padding.
    """
    coarsest = feats[-1]
    tokens = coarsest.shape[-2] * coarsest.shape[-1]
    return mean_over_tokens(coarsest, None if padding is None else padding[:, -tokens:])


@MODELS.register_module()
class EarlyExitDETR(EarlyExitDetector, DETR):
    """mmdet's DETR, with its names of weights, and :class:`EarlyExitDetector`'s arguments."""

    strides = (MAP_STRIDE,)
    encoder: DenseEncoder

    def _init_layers(self) -> None:
        config = copy.deepcopy(self.encoder)
        super()._init_layers()  # builds mmdet's encoder
        self.encoder = DenseEncoder(**config)

    def encode_exits(self, exits: Sequence[int], **inputs) -> Iterator[tuple[int, Inputs]]:
        """Yield (exit, memory), as :meth:`EarlyExitDetector.encode_exits`."""
        exits = self.encoder.schedule.check_exits(exits)
        tokens = inputs["feat"], inputs["feat_pos"], inputs["feat_mask"]
        for exit_, memory in self.encoder.encode(*tokens, exits):
            yield exit_, dict(memory=memory)

    def forward_encoder(
        self,
        feat: Tensor,
        feat_mask: Tensor | None,
        feat_pos: Tensor,
        exits: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """Run mmdet's encoder; with ``exits``, each image only to its own exit."""
        if exits is None:
            return super().forward_encoder(feat, feat_mask, feat_pos)
        return dict(memory=self.encoder.encode_images(feat, feat_pos, feat_mask, exits))
