"""Values inside a model while it predicts an image: tokens, gates, exits and prototypes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.inference.image_sources import InputImage, read_image
from mmproscale.inference.predictor import Predictor
from mmproscale.models.encoders.exit_gate import EarlyExits
from mmproscale.models.heads.mask_head import MaskHead
from mmproscale.models.pixel_decoders.deformable_pixel_decoder import DeformablePixelDecoder
from mmproscale.models.query_decoders.prototype_attention import PrototypeAttention
from mmproscale.utils.command_names import command

Part = TypeVar("Part")


def parts(model: Predictor, kind: type[Part], what: str) -> list[Part]:
    """Return the model's modules of a class.

    Raises:
        InputError: It has none; the message says that the model has no ``what``.
    """
    found = [module for module in model.model.modules() if isinstance(module, kind)]
    if not found:
        raise InputError(f"{type(model.model).__name__} of this config has no {what}")
    return found


class Call(NamedTuple):
    """A call that was watched."""

    arguments: tuple
    result: Any


@contextmanager
def watched(owner: object, method: str) -> Iterator[list[Call]]:
    """Give a list that gets each call of ``owner.method`` within the block."""
    call = getattr(owner, method)
    calls: list[Call] = []

    def watch(*arguments: Any) -> Any:
        calls.append(Call(arguments, call(*arguments)))
        return calls[-1].result

    with mock.patch.object(owner, method, watch):
        yield calls


def token_similarity(
    model: Predictor, images: Sequence[InputImage], distances: int = 50
) -> dict[int, np.ndarray]:
    """Return the mean cosine similarity of tokens at each distance (PRO-SCALE, Figure F1).

    Args:
        model: A model with our pixel decoder.
        images: Images, at least one.
        distances: Largest distance along the tokens of a level, which are row by row.

    Returns:
        Stride -> (distances,), for distances from 1; NaN beyond a level's number of tokens.

    Raises:
        InputError: Another pixel decoder.
    """
    (decoder, *_) = parts(model, DeformablePixelDecoder, "pixel decoder with tokens of levels")
    sums: dict[int, list[np.ndarray]] = {}
    for image in images:
        with watched(decoder, "encoder_inputs") as calls:
            model.predict([image])
        tokens: Mapping[int, Tensor] = calls[-1].result[0]
        for stride, of_level in tokens.items():
            sums.setdefault(stride, []).append(_similarity(of_level[0].float(), distances))
    return {stride: _mean(np.array(values)) for stride, values in sums.items()}


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of each column without NaN; NaN for a column of nothing else."""
    known = (~np.isnan(values)).sum(0)
    return np.where(known > 0, np.nansum(values, 0) / np.maximum(known, 1), np.nan)


def _similarity(tokens: Tensor, distances: int) -> np.ndarray:
    unit = F.normalize(tokens, dim=-1)
    return np.array(
        [
            (unit[:-step] * unit[step:]).sum(-1).mean().item() if step < len(unit) else np.nan
            for step in range(1, distances + 1)
        ]
    )


def recalibration_gates(model: Predictor, image: InputImage) -> dict[int, np.ndarray]:
    """Return TRC's gate at each token of an image (PRO-SCALE, eq. 4 and Figure F2).

    Returns:
        Stride -> (h, w) in 0..1, for all levels but the finest.

    Raises:
        InputError: The model has no TRC.
    """
    (decoder, *_) = parts(model, DeformablePixelDecoder, "token recalibration")
    with watched(decoder, "encoder_inputs") as calls:
        model.predict([image])
    _, _, layout, gates = calls[-1].result
    if not gates:
        raise InputError("the model has no token recalibration: pixel_decoder.recalibration=None")
    return {
        stride: gate[0, :, 0].unflatten(0, layout.shape(stride)).cpu().numpy()
        for stride, gate in gates.items()
    }


def exits_of(model: Predictor, images: Sequence[InputImage]) -> tuple[tuple[int, ...], list[int]]:
    """Return the exits that the model has, and the exit that each image takes.

    Raises:
        InputError: The model has no gate, or a gate that has not been fitted.
    """
    (module, *_) = parts(model, EarlyExits, "early exits")
    if module.exit_gate is None:
        raise InputError("the model has no exit gate, so every image takes the last exit")
    if not module.exit_gate.linear.weight.any():
        raise InputError(
            "the model's exit gate has not been fitted, so every image takes the last exit: fit "
            f"it with {command('eco derive')} and {command('eco fit')}"
        )
    found = []
    for image in images:
        with watched(module, "image_exits") as calls:
            model.predict([image])
        found += calls[-1].result
    return module.exits, found


@dataclass(frozen=True)
class Prototypes:
    """Prototypes of one query of an image.

    Args:
        label: Class of the query.
        score: Its probability.
        mask: (h, w), probability at a quarter of the resized image's size.
        points: (heads, 2), x and y of each head's token in 0..1 of the image; in padding above 1.
    """

    label: int
    score: float
    mask: np.ndarray
    points: np.ndarray


def prototypes_of(model: Predictor, image: InputImage, queries: int = 4) -> list[Prototypes]:
    """Return the prototypes that the last layer picks for the queries with the highest scores.

    Raises:
        InputError: The model has no prototype attention, or it sums all tokens.
    """
    attention = parts(model, PrototypeAttention, "prototype attention (PEM)")[-1]
    if attention.prototypes == "sum":
        raise InputError("the model sums all tokens (prototypes='sum'): it picks no prototype")
    head = parts(model, MaskHead, "mask head")[0]
    with watched(attention, "_choose_prototypes") as chosen, watched(head, "decode") as decoded:
        model.predict([image])
    _, _, (height, width), _ = chosen[-1].arguments
    index = chosen[-1].result[0][0].cpu()  # (heads, Q)
    predictions = decoded[-1].result
    logits = predictions.class_logits[-1][0].float().cpu()
    masks = predictions.masks()[0].float().cpu()  # (Q, H / 4, W / 4) of the padded input
    sample = model.prepare(replace(image, pixels=read_image(image)))["data_samples"]
    rows, columns = (-(-side // 4) for side in sample.img_shape[:2])  # the rest is padding
    inside = torch.tensor([masks.shape[-1] / columns, masks.shape[-2] / rows])
    scores, labels = logits.softmax(-1)[:, :-1].max(-1)
    best = scores.argsort(descending=True)[:queries].tolist()
    points = torch.stack([index % width + 0.5, index // width + 0.5], -1)  # (heads, Q, 2)
    points = points / torch.tensor([width, height]) * inside
    return [
        Prototypes(
            int(labels[q]),
            float(scores[q]),
            masks[q, :rows, :columns].sigmoid().numpy(),
            points[:, q].numpy(),
        )
        for q in best
    ]
