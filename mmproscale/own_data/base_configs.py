"""Base configs that a new config can inherit from, their recipes and their starting weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mmproscale.checkpoints.any_source import convert_checkpoint, load_source
from mmproscale.checkpoints.model_match import check_any_match
from mmproscale.cost.model_cost import Network, build_network
from mmproscale.errors import InputError
from mmproscale.models.backbones.timm_backbone import split_name
from mmproscale.own_data.dataset_facts import Facts
from mmproscale.own_data.layouts import BOXES, INSTANCE, PANOPTIC, SEMANTIC
from mmproscale.utils.config import CONFIGS, load_config

# Datasets whose configs serve each kind; the first one that has a config is taken.
ENDINGS = {
    PANOPTIC: ("_coco", "_camvid", "_shapes"),
    INSTANCE: ("_coco-instance", "_coco", "_camvid", "_shapes"),
    SEMANTIC: ("_ade20k-semantic", "_cityscapes-semantic", "_camvid-semantic"),
    BOXES: ("_coco", "_camvid", "_shapes"),
}
MODELS = CONFIGS / "_base_/models"
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
    """

    name: str
    path: Path
    config: Config
    recipe: Recipe
    timm_model: str = ""

    @property
    def from_scratch(self) -> bool:
        """True if its backbone starts without weights."""
        return not self.config.model.backbone.get("init_cfg")

    @property
    def scratch_backbone(self) -> dict:
        """Changes that start the backbone without weights: frozen batch norms would stay at 0."""
        frozen = self.config.model.backbone.get("norm_eval")
        norms = dict(norm_cfg=dict(requires_grad=True), norm_eval=False)
        return dict(init_cfg=None) | (norms if frozen else {})

    def network(self, facts: Facts, from_scratch: bool = False) -> Network:
        """Build its network with the classes of other data."""
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
        if from_scratch:
            options["backbone"] = self.scratch_backbone
        config.merge_from_dict(dict(model=options))
        return build_network(config)


def find_base(name: str, kind: str) -> BaseConfig:
    """Find the config of a base for a kind of data: METHOD_m2f_BACKBONE, METHOD_m2f_timm/MODEL.

    Bases for boxes are METHOD_dino_BACKBONE.

    Raises:
        InputError: No such config exists, or it is not for this kind; lists the names that are.
    """
    name, timm_model = split_name(name)
    known = base_names(kind)
    if name not in known:
        problem = f"has no config for {kind} data"
        if name in base_names(BOXES):
            problem = f"is a detector's, which learns boxes and no {kind} data"
        raise InputError(f"--base {name} {problem}; there are {', '.join(known)}")
    ending = next(end for end in ENDINGS[kind] if (CONFIGS / f"{name}{end}.py").is_file())
    path = CONFIGS / f"{name}{ending}.py"
    config = load_config(path)
    recipe = _recipe(config, ending)
    if kind != SEMANTIC:  # a config of Shapes changes the model for its small images
        config.model = load_config(MODELS / f"{name}.py").model
    if timm_model:
        config.model.backbone.model = timm_model
    return BaseConfig(name, path, config, recipe, timm_model)


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


def check_starting_weights(base: BaseConfig, source: str, facts: Facts) -> None:
    """Check that a checkpoint in a file fits the model; one at a URL is checked in training.

    Raises:
        InputError: The file is missing or can't be read; it has no weights, or no backbone, of
            this model.
    """
    if "://" in source:
        return
    if not Path(source).exists():
        raise InputError(f"--load-from {source} is not a file: name a checkpoint")
    model, checkpoint = base.network(facts).model, load_source(source)
    convert_checkpoint(model, checkpoint, source, partial=True)
    match = check_any_match(model, checkpoint, source)
    missing = next((name for name in match.missing if name.startswith("backbone.")), None)
    if missing:
        raise InputError(
            f"--load-from {source} lacks the backbone of this --base ({missing} is missing): "
            "take the checkpoint's own base, or a checkpoint of the whole model"
        )
