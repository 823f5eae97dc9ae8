"""Base configs that a new config can inherit from, and their recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmproscale.cost.model_cost import Network, build_network
from mmproscale.errors import InputError
from mmproscale.models.backbones.timm_backbone import split_name
from mmproscale.own_data.dataset_facts import Facts
from mmproscale.own_data.layouts import BOXES, INSTANCE, PANOPTIC, SEMANTIC
from mmproscale.utils.config import CONFIGS, load_config
from mmproscale.utils.shipped_config import inherited_files

# Datasets whose configs serve each kind; the first one that has a config is taken.
ENDINGS = {
    PANOPTIC: ("_coco", "_camvid", "_shapes"),
    INSTANCE: ("_coco-instance", "_coco", "_camvid", "_shapes"),
    SEMANTIC: ("_ade20k-semantic", "_cityscapes-semantic", "_camvid-semantic"),
    BOXES: ("_coco", "_camvid", "_shapes"),
}
MODELS = CONFIGS / "_base_/models"
# The part of a model that a plan changes, and the places that it states.
_DECODER = "panoptic_head.pixel_decoder"
MASK_ENCODER = (
    _DECODER,
    [f"{_DECODER}.{key}" for key in ("type", "encoder.schedule", "pixel_embedding")],
)
BOX_ENCODER = "encoder", ["encoder.schedule", "recalibration"]
TRAINING_IMAGES = dict(coco=118287, ade20k=20210, cityscapes=2975, camvid=367, shapes=2000)


@dataclass(frozen=True)
class Recipe:
    """Training of a config on its own dataset.

    Args:
        batch: Images in a step of the optimizer, over all GPUs.
        rate: Learning rate for that batch.
        steps: Steps of the optimizer.
        images: Images of the training set.
    """

    batch: int
    rate: float
    steps: int
    images: int


@dataclass(frozen=True)
class BaseConfig:
    """Config to inherit from.

    Args:
        name: METHOD_m2f_BACKBONE or METHOD_dino_BACKBONE; of a timm backbone without its model.
        path: Its file.
        config: Its content.
        recipe: Its training.
        timm_model: The backbone's model, if it is timm's.
        encoder: Place in the model -> value that a plan chose.
    """

    name: str
    path: Path
    config: Config
    recipe: Recipe
    timm_model: str = ""
    encoder: dict[str, Any] = field(default_factory=dict)

    def network(self, facts: Facts, backbone: Mapping[str, Any] | None = None) -> Network:
        """Build its network with the classes of other data, and with changes of its backbone.

        Weights are not read.
        """
        config = Config(dict(model=self.config.model, default_scope=self.config.default_scope))
        classes = len(facts.classes)
        weights = dict(loss_cls=dict(class_weight=[1.0] * classes + [0.1]))
        if facts.kind == BOXES:
            options: dict = dict(bbox_head=dict(num_classes=classes))
        elif facts.kind == SEMANTIC:
            options = dict(decode_head=dict(num_classes=classes, **weights))
        else:
            counts = dict(num_things_classes=len(facts.things), num_stuff_classes=len(facts.stuff))
            options = dict(panoptic_head=counts | weights, panoptic_fusion_head=dict(counts))
        if backbone:
            options["backbone"] = {k: v for k, v in backbone.items() if k != "init_cfg"}
        config.merge_from_dict(dict(model=options))
        return build_network(config)


def base_name(base: str) -> tuple[str, str]:
    """Return METHOD_m2f_BACKBONE and the dataset's ending of a base; no ending if it states none.

    ``proscale_m2f_r50_coco`` and the path of that config mean ``proscale_m2f_r50`` with its recipe
    on COCO.
    """
    stem = Path(base).stem if base.endswith(".py") else base
    if (CONFIGS / f"{stem}.py").is_file():
        name, _, dataset = stem.rpartition("_")
        return name, f"_{dataset}"
    return stem, ""


def find_base(base: str, kind: str) -> BaseConfig:
    """Find the config of a base for a kind of data: METHOD_m2f_BACKBONE, METHOD_m2f_timm/MODEL.

    Bases for boxes are METHOD_dino_BACKBONE.

    Args:
        base: The name, also with its dataset, METHOD_m2f_BACKBONE_coco; or a config that
            ``tools/plan.py`` wrote.
        kind: One of :data:`layouts.KINDS`.

    Raises:
        InputError: No such config exists, or it is not for this kind; lists the names that are.
    """
    if base.endswith(".py") and Path(base).resolve().parent != CONFIGS:
        return _planned_base(base, kind)
    stem, stated = base_name(base)
    name, timm_model = split_name(stem)
    known = base_names(kind)
    if name not in known:
        raise InputError(f"--base {base} {_problem(name, kind)} {', '.join(known)}")
    endings = (*_endings_of(kind, stated), *ENDINGS[kind])
    ending = next(end for end in endings if (CONFIGS / f"{name}{end}.py").is_file())
    path = CONFIGS / f"{name}{ending}.py"
    config = load_config(path)
    recipe = _recipe(config, ending)
    if kind != SEMANTIC:  # a config of Shapes changes the model for its small images
        config.model = load_config(MODELS / f"{name}.py").model
    if timm_model:
        config.model.backbone.model = timm_model
    return BaseConfig(name, path, config, recipe, timm_model)


def _problem(name: str, kind: str) -> str:
    if name in base_names(BOXES):
        return f"is a detector's, which learns boxes and no {kind} data; there are"
    close = get_close_matches(name, base_names(kind), 1)
    hint = f"did you mean {close[0]}? There are" if close else "there are"
    return f"has no config for {kind} data; {hint}"


def _endings_of(kind: str, stated: str) -> list[str]:
    """Return the ending that the user states, if configs of that name serve this kind."""
    serves = "-" not in stated if kind == PANOPTIC else stated in ENDINGS[kind]
    return [stated] if stated and serves else []


def _planned_base(file: str, kind: str) -> BaseConfig:
    """Return the base of a config that a plan wrote, with the encoder that it chose.

    Raises:
        InputError: The file can't be read, inherits from no config of this package for such data,
            or changes more than a plan does.
    """
    planned = load_config(file)
    parents = [path.stem for path in inherited_files(planned) if path.parent == CONFIGS]
    part, places = BOX_ENCODER if kind == BOXES else MASK_ENCODER
    if not parents or _at(planned, f"model.{part}") is None:
        raise InputError(
            f"--base {file} inherits from no config of mmproscale for {kind} data: name a config, "
            "METHOD_m2f_BACKBONE or for boxes METHOD_dino_BACKBONE, or one that tools/plan.py wrote"
        )
    model = planned.model.backbone.get("model", "")
    base = find_base(base_name(parents[-1])[0] + (f"/{model}" if model else ""), kind)
    own, encoder = base.config.model, {}
    head = "decode_head" if kind == SEMANTIC else "panoptic_head"
    for place in places:
        parent, _, key = place.rpartition(".")
        if key in _at(planned.model, parent):
            value = encoder[place] = _at(planned.model, place)
            _at(own, parent.replace("panoptic_head", head))[key] = value
    if _at(own, part.replace("panoptic_head", head)) != _at(planned.model, part):
        raise InputError(
            f"--base {file} changes more than the encoder and the pixel embedding of "
            f"{parents[-1]}: name a config that tools/plan.py wrote, or change the new config"
        )
    return replace(base, encoder=encoder)


def _at(config: Any, place: str) -> Any:
    """Return the value at a dotted place, the whole at an empty one; None without such a place."""
    for key in filter(None, place.split(".")):
        config = (config or {}).get(key)
    return config


def base_names(kind: str) -> list[str]:
    """Return the bases for a kind of data, sorted."""
    found = {
        path.stem.removesuffix(ending)
        for ending in ENDINGS[kind]
        for path in CONFIGS.glob(f"*{ending}.py")
    }
    family = "dino" if kind == BOXES else "m2f"
    return sorted(
        name for name in found if family in name.split("_") and (MODELS / f"{name}.py").is_file()
    )


def _recipe(config: Config, ending: str) -> Recipe:
    dataset = ending.removeprefix("_").partition("-")[0]
    return Recipe(
        batch=config.auto_scale_lr.base_batch_size,
        rate=config.optim_wrapper.optimizer.lr,
        steps=config.train_cfg.max_iters,
        images=TRAINING_IMAGES[dataset],
    )
