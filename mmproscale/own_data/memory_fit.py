"""Largest crop that fits into a memory, and the number of such crops that train at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from mmproscale.cost.activation_memory import detector_training_memory, training_memory
from mmproscale.cost.model_cost import Network, traceable
from mmproscale.errors import InputError
from mmproscale.models.pixel_decoders.pixel_decoder import PixelDecoder

GIB = 2**30
# A weight of 4 bytes, its gradient, and AdamW's two moments.
BYTES_OF_PARAMETER = 16
# PyTorch takes this before it holds a model: libraries and, on a GPU, the CUDA context.
BYTES_OF_LIBRARIES = 3 * GIB // 4
# Losses, the workspace of operators and gradients of activations come on top of the activations.
BEYOND_ACTIVATIONS = 1.25


@dataclass(frozen=True)
class MemoryFit:
    """Crop and number of images that fit into a memory.

    Args:
        crop: (width, height).
        images: Number of such images at once.
        per_image: Bytes that each of them takes.
        fixed: Bytes that the model, its optimizer and libraries take.
        least: Number of images that the model needs at once.
    """

    crop: tuple[int, int]
    images: int
    per_image: int
    fixed: int
    least: int = 1


def fit_memory(
    network: Network, crops: Iterable[tuple[int, int]], memory: float, half: bool = False
) -> MemoryFit:
    """Return the largest crop of which one image fits, or the model's least batch of images.

    Args:
        network: Network as :func:`mmproscale.cost.model_cost.build_network` makes it.
        crops: (width, height), the largest first.
        memory: Memory of one GPU, or of the machine, in GiB.
        half: Train in mixed precision.

    Raises:
        InputError: Not even the smallest crop fits.
    """
    network = traceable(network)
    decoder = network.mask_head and network.mask_head.pixel_decoder
    least = decoder.least_images if isinstance(decoder, PixelDecoder) else 1
    kept_of = (
        partial(training_memory, network, half=half)
        if network.mask_head
        else detector_training_memory(network, half)
    )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    fixed = BYTES_OF_LIBRARIES + BYTES_OF_PARAMETER * parameters
    for crop in crops:
        width, height = crop
        per_image = round(BEYOND_ACTIVATIONS * kept_of((height, width)))
        images = max(0, int((memory * GIB - fixed) / per_image))
        if images >= least:
            return MemoryFit(crop, images, per_image, fixed, least)
    needed = (fixed + least * per_image) / GIB
    count = "one image" if least == 1 else f"a batch of {least}"
    raise InputError(
        f"--memory {memory:g} is too little: {count} of {crop[0]}x{crop[1]} takes about "
        f"{needed:.2f} GiB with this --base; take a smaller one, or a smaller --crop"
    )
