"""Checkpoint files of any content, and the message by which a file is refused."""

from pathlib import Path

import pytest
import torch

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.errors import InputError

WEIGHTS = {"layer.weight": torch.arange(6.0).view(2, 3), "layer.bias": torch.zeros(2)}


class GetattrOf:
    """Pickles as getattr(owner, name)."""

    def __init__(self, owner, name: str) -> None:
        self.call = (getattr, (owner, name))

    def __reduce__(self):
        return self.call


def saved(tmp_path: Path, content, **options) -> Path:
    file = tmp_path / "checkpoint.pth"
    torch.save(content, file, **options)
    return file


def refusal(file: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_checkpoint(file)
    text = str(caught.value)
    assert "\n" not in text and text.startswith(str(file))
    return text
