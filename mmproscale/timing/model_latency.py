"""The time of one prediction by part, of any model that has ``extract_feat`` and ``predict``.

Parts are found by what a model has. A head with a pixel decoder makes masks, and what makes
segments of them are the results; a detector of DETR's kind has an encoder; of any other model all
after its backbone and neck is the head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from mmproscale.cost.model_parts import mask_head_path
from mmproscale.errors import InputError
from mmproscale.timing.measurement import Stopwatch

BACKBONE, PIXEL_DECODER, HEAD, RESULTS = "backbone", "pixel decoder", "head", "results"
ENCODER, DECODER = "encoder", "decoder, boxes"
QUERY_DECODER = "query decoder, masks"
WHOLE = "whole"


def parts_of(model: nn.Module) -> tuple[str, ...]:
    """Names of the parts in the order of computation; the last is the whole."""
    if _has_encoder(model):
        return BACKBONE, ENCODER, DECODER, WHOLE
    if mask_head_path(model) is None:
        return BACKBONE, HEAD, WHOLE
    return BACKBONE, PIXEL_DECODER, QUERY_DECODER, RESULTS, WHOLE


def random_inputs(
    model: nn.Module, shape: tuple[int, int], batch: int = 1
) -> tuple[Tensor, list[DetDataSample]]:
    """A batch as the model's own preprocessor makes it of random images, the same at each call.

    Args:
        model: On the device where the batch shall be.
        shape: (H, W) of the images, which are padded to what the model needs.
        batch: How many images.

    Returns:
        (B, 3, H, W), and a data sample for each image.
    """
    generator = torch.Generator().manual_seed(0)
    size = 3, *shape
    images = [
        torch.randint(256, size, generator=generator, dtype=torch.uint8) for _ in range(batch)
    ]
    # As if the image file had this very size.
    metainfo = dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0), flip=False)
    samples = [DetDataSample(metainfo=dict(metainfo, img_id=i)) for i in range(batch)]
    data = model.data_preprocessor({"inputs": images, "data_samples": samples}, training=False)
    return data["inputs"], data["data_samples"]


@torch.no_grad()
def timed_prediction(
    model: nn.Module, inputs: Tensor, samples: Sequence[DetDataSample], watch: Stopwatch
) -> None:
    """Predict, and leave the seconds of each of :func:`parts_of` the model in ``watch``.

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
    """Call, and leave the seconds of each of :func:`parts_of` the model in ``watch``."""
    methods = [(model, "extract_feat", BACKBONE)]
    if _has_encoder(model):
        methods += [(model, "forward_encoder", ENCODER)]
    if path := mask_head_path(model):
        head = model.get_submodule(path)
        decoder = head.pixel_decoder
        # Ours do less in methods of their own, where mmdet's would call these.
        methods += [(head, "decode" if hasattr(head, "decode") else "predict", HEAD)]
        methods += [(decoder, "embed" if hasattr(decoder, "embed") else "forward", PIXEL_DECODER)]
    with ExitStack() as stack:
        for method in methods:
            stack.enter_context(watch.method(*method))
        with watch.part(WHOLE):
            call()
    watch.seconds = _without_overlap(watch.seconds)


def _has_encoder(model: nn.Module) -> bool:
    """Whether this is a detector of DETR's kind."""
    return hasattr(model, "forward_encoder")


def _without_overlap(seconds: dict[str, float]) -> dict[str, float]:
    """Parts that add up to the whole: the last one is what remains of it."""
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
