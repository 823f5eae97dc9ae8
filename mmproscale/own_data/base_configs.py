"""The configs of ours that a new one can inherit from, and the recipe that each of them states."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mmproscale.errors import InputError
from mmproscale.own_data.choices import Recipe
from mmproscale.own_data.coco_layout import INSTANCE, PANOPTIC, SEMANTIC
from mmproscale.utils.config import CONFIGS, load_config

# Of each kind the datasets whose configs are taken, the first one that there is.
ENDINGS = {
    PANOPTIC: ("_coco", "_camvid", "_shapes"),
    INSTANCE: ("_coco-instance", "_coco", "_camvid", "_shapes"),
    SEMANTIC: ("_ade20k-semantic", "_cityscapes-semantic", "_camvid-semantic"),
}
TRAINING_IMAGES = dict(coco=118287, ade20k=20210, cityscapes=2975, camvid=367, shapes=2000)


@dataclass(frozen=True)
class Base:
    """A config to inherit from.

    Args:
        path: its file.
        config: as it is read.
        recipe: how it trains.
    """

    path: Path
    config: Config
    recipe: Recipe

    @property
    def from_scratch(self) -> bool:
        """Whether its backbone starts without weights."""
        return not self.config.model.backbone.get("init_cfg")


def find_base(name: str, kind: str) -> Base:
    """The config METHOD_m2f_BACKBONE of a kind of data.

    Raises:
        InputError: there is none; those that there are of this kind are named; it is a detector's.
    """
    if "m2f" not in name.split("_") and any(CONFIGS.glob(f"{name}_*.py")):
        raise InputError(
            f"--base {name} is a detector's: write its config as docs/detection.md shows, or take "
            f"one of {', '.join(base_names(kind))}"
        )
    for ending in ENDINGS[kind]:
        path = CONFIGS / f"{name}{ending}.py"
        if path.is_file():
            config = load_config(path)
            return Base(path, config, _recipe(config, ending))
    known = ", ".join(base_names(kind)) or "none"
    raise InputError(f"--base {name} has no config for {kind} data; there are {known}")


def base_names(kind: str) -> list[str]:
    """The names that :func:`find_base` knows."""
    found = {
        path.stem.removesuffix(ending)
        for ending in ENDINGS[kind]
        for path in CONFIGS.glob(f"*{ending}.py")
        if "m2f" in path.stem.split("_")  # a detector's config is written by hand
    }
    return sorted(found)


def _recipe(config: Config, ending: str) -> Recipe:
    dataset = ending.removeprefix("_").partition("-")[0]
    return Recipe(
        batch=config.auto_scale_lr.base_batch_size,
        rate=config.optim_wrapper.optimizer.lr,
        steps=config.train_cfg.max_iters,
        images=TRAINING_IMAGES[dataset],
    )
