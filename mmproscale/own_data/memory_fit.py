"""Which crop and how many images of it a memory holds while a model trains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mmproscale.cost.activation_memory import training_memory
from mmproscale.cost.model_cost import Network, traceable
from mmproscale.errors import InputError
from mmproscale.own_data.choices import images_that_fit

GIB = 2**30
# A weight of 4 bytes, its gradient, and AdamW's two moments.
BYTES_OF_PARAMETER = 16
# What PyTorch takes before a model is there: libraries, on a GPU the CUDA context.
BYTES_OF_LIBRARIES = 3 * GIB // 4
# Losses, what operators take for themselves and gradients on their way, on top of what the forward
# pass keeps.
BEYOND_ACTIVATIONS = 1.25


@dataclass(frozen=True)
class Fit:
    """What fits.

    Args:
        crop: (width, height).
        images: how many of them at once.
        per_image: bytes that one takes.
        fixed: bytes that the model, its optimizer and libraries take.
    """

    crop: tuple[int, int]
    images: int
    per_image: int
    fixed: int


def fit(
    network: Network, crops: Iterable[tuple[int, int]], memory: float, half: bool = False
) -> Fit:
    """The largest crop of which at least one image fits (two, if the model needs them), and how
    many do.

    Args:
        network: the model's, as :func:`mmproscale.cost.model_cost.build_network` makes it.
        crops: (width, height), the largest first.
        memory: of one GPU, or of the machine, in GiB.
        half: train in mixed precision.

    Raises:
        InputError: not as many images of the smallest crop fit.
    """
    network = traceable(network)
    decoder = getattr(getattr(network, "mask_head", None), "pixel_decoder", None)
    least = getattr(decoder, "least_images", 1)
    fixed = BYTES_OF_LIBRARIES + BYTES_OF_PARAMETER * _num_params(network)
    for crop in crops:
        width, height = crop
        kept = training_memory(network, (height, width), half)
        per_image = round(BEYOND_ACTIVATIONS * kept)
        images = images_that_fit(memory * GIB, fixed, per_image)
        if images >= least:
            return Fit(crop, images, per_image, fixed)
    needed = (fixed + least * per_image) / GIB
    count = "one image" if least == 1 else f"a batch of {least}"
    raise InputError(
        f"--memory {memory:g} is too little: {count} of {crop[0]}x{crop[1]} takes about "
        f"{needed:.2f} GiB with this --base; take a smaller one"
    )


def _num_params(network: Network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
