"""Does a checkpoint start a new model? Looked at before a config names it."""

from __future__ import annotations

from pathlib import Path

from mmproscale.checkpoints.model_match import check_any_match
from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.errors import InputError
from mmproscale.own_data.base_configs import Base
from mmproscale.own_data.dataset_facts import Facts
from mmproscale.own_data.new_config import Wishes, network_of


def check_start(base: Base, wishes: Wishes, facts: Facts) -> None:
    """Check a checkpoint in a file against the model; one to fetch is checked when it trains.

    Raises:
        InputError: the file is missing, can't be read, or has nothing, or no backbone, of this
            model.
    """
    source = wishes.load_from
    if source is None or "://" in source:
        return
    if not Path(source).is_file():
        raise InputError(f"--load-from {source} is not a file: name a checkpoint")
    match = check_any_match(network_of(base, wishes, facts).model, load_checkpoint(source), source)
    missing = next((name for name in match.missing if name.startswith("backbone.")), None)
    if missing:
        raise InputError(
            f"--load-from {source} has not the backbone of this --base ({missing} is missing): "
            "take the checkpoint's own, or a checkpoint of the whole model"
        )
