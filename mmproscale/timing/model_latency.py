"""Time of one prediction by part, for any model with ``extract_feat`` and ``predict``.

A model with a head of Mask2Former's kind has a pixel decoder, a query decoder and results (fusion).
A detector of DETR's kind has an encoder and a decoder. In any other model, everything after
backbone and neck is the head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from mmdet.models.detectors.base_detr import DetectionTransformer
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from mmproscale.cost.model_parts import mask_head_path
from mmproscale.errors import InputError
from mmproscale.models.heads.mask_head import MaskHead
from mmproscale.models.pixel_decoders.pixel_decoder import PixelDecoder
from mmproscale.timing.measurement import Stopwatch

BACKBONE, PIXEL_DECODER, HEAD, RESULTS = "backbone", "pixel decoder", "head", "results"
ENCODER, DECODER = "encoder", "decoder, boxes"
QUERY_DECODER = "query decoder, masks"
WHOLE = "whole"


def random_inputs(
    model: Any, shape: tuple[int, int], batch: int = 1
) -> tuple[Tensor, list[DetDataSample]]:
    """Return a batch of random images, preprocessed by the model; the same at each call.

    Args:
        model: A model on the device of the batch.
        shape: (H, W) of the images, which are padded as the model needs.
        batch: Number of images.

    Returns:
        (B, 3, H, W), and a data sample for each image.
    """
    generator = torch.Generator().manual_seed(0)
    size = 3, *shape
    images = [
        torch.randint(256, size, generator=generator, dtype=torch.uint8) for _ in range(batch)
    ]
    # As for an image file of this size.
    metainfo = dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0), flip=False)
    samples = [DetDataSample(metainfo=dict(metainfo, img_id=i)) for i in range(batch)]
    data = model.data_preprocessor({"inputs": images, "data_samples": samples}, training=False)
    return data["inputs"], data["data_samples"]


@torch.no_grad()
def timed_prediction(
    model: Any, inputs: Tensor, samples: Sequence[DetDataSample], watch: Stopwatch
) -> None:
    """Predict, and write the seconds of each part and of the whole into ``watch``.

    Args:
        model: In evaluation mode.
        inputs: (B, 3, H, W), padded and normalised.
        samples: One for each image; they receive the predictions.
        watch: A new one.

    Raises:
        InputError: The model has no ``extract_feat`` or no ``predict``.
    """
    for method in ("extract_feat", "predict"):
        if not hasattr(model, method):
            raise InputError(f"a {type(model).__name__} has no {method}: name a detector's config")
    time_parts(model, lambda: model.predict(inputs, samples), watch)


def time_parts(model: nn.Module, call: Callable[[], object], watch: Stopwatch) -> None:
    """Call, and write the seconds of each part and of the whole into ``watch``."""
    methods = [(model, "extract_feat", BACKBONE)]
    if _has_encoder(model):
        methods += [(model, "forward_encoder", ENCODER)]
    if path := mask_head_path(model):
        head: Any = model.get_submodule(path)
        decoder = head.pixel_decoder
        # Ours compute less, in methods of their own.
        decode = "decode" if isinstance(head, MaskHead) else "predict"
        embed = "embed" if isinstance(decoder, PixelDecoder) else "forward"
        methods += [(head, decode, HEAD), (decoder, embed, PIXEL_DECODER)]
    with ExitStack() as stack:
        for method in methods:
            stack.enter_context(watch.method(*method))
        with watch.part(WHOLE):
            call()
    watch.seconds = _without_overlap(watch.seconds)


def _has_encoder(model: nn.Module) -> bool:
    """Tell a detector of DETR's kind."""
    return isinstance(model, DetectionTransformer)


def _without_overlap(seconds: dict[str, float]) -> dict[str, float]:
    """Return parts that add up to the whole: the last one is the remainder."""
    backbone, whole = seconds[BACKBONE], seconds[WHOLE]
    if ENCODER in seconds:
        encoder = seconds[ENCODER]
        rest = whole - backbone - encoder
        return {BACKBONE: backbone, ENCODER: encoder, DECODER: rest, WHOLE: whole}
    if PIXEL_DECODER not in seconds:
        return {BACKBONE: backbone, HEAD: whole - backbone, WHOLE: whole}
    pixel_decoder, head = seconds[PIXEL_DECODER], seconds[HEAD]
    return {
        BACKBONE: backbone,
        PIXEL_DECODER: pixel_decoder,
        QUERY_DECODER: head - pixel_decoder,
        RESULTS: whole - backbone - head,
        WHOLE: whole,
    }
