"""Devices that models run on."""

import torch

from mmproscale.errors import InputError


def choose_device(name: str | None) -> torch.device:
    """Return the named device; by default the GPU if there is one.

    Raises:
        InputError: The device is unknown, or this machine does not have it.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type != "cuda":
            torch.zeros(1, device=device).item()  # PyTorch knows devices that compute nothing here
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"device '{name}' is unknown or not here: use cpu or cuda") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise InputError(f"device '{name}' is not there ({count} GPUs found): use cpu")
    return device
