"""All that a new config is written from, chosen for a dataset, a base and a machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm

from mmproscale.cost.model_cost import Network, build_network
from mmproscale.own_data import choices
from mmproscale.own_data.base_configs import Base
from mmproscale.own_data.choices import Batch
from mmproscale.own_data.coco_layout import SEMANTIC
from mmproscale.own_data.data_inspection import FoundData
from mmproscale.own_data.dataset_facts import Facts
from mmproscale.own_data.memory_fit import Fit, fit
from mmproscale.own_data.semantic_layout import PairNames
from mmproscale.utils.registered import is_type


@dataclass(frozen=True)
class Wishes:
    """What the command line decides.

    Args:
        gpus: how many; 0 for a CPU.
        memory: of each, or of the machine, in GiB.
        amp: train in mixed precision.
        from_scratch: start without weights.
        load_from: a checkpoint to start from.
        balance_classes: weigh rare classes more.
        zero_is_void: of semantic maps, see :func:`semantic_facts.semantic_facts`.
    """

    gpus: int
    memory: float
    amp: bool = False
    from_scratch: bool = False
    load_from: str | None = None
    balance_classes: bool = False
    zero_is_void: bool = False


@dataclass(frozen=True)
class NewConfig:
    """What is written, and what the table of choices tells.

    Args:
        name: of the base, METHOD_m2f_BACKBONE.
        base: what it inherits from.
        wishes: of the command line.
        data: where it lies.
        facts: of it.
        image_size: (width, height) at which images are read.
        fit: crop and memory.
        batch: how it comes about.
        rate: of learning.
        iterations: of training, in mmengine's count.
        class_weights: for each class; None for the recipe's 1.
        pairs: how semantic maps are named.
        own_split: whether validation is a part of the training set that was set aside.
    """

    name: str
    base: Base
    wishes: Wishes
    data: FoundData
    facts: Facts
    image_size: tuple[int, int]
    fit: Fit
    batch: Batch
    rate: float
    iterations: int
    class_weights: tuple[float, ...] | None
    pairs: PairNames | None = None
    own_split: bool = False


def choose(
    name: str,
    base: Base,
    wishes: Wishes,
    data: FoundData,
    facts: Facts,
    pairs: PairNames | None = None,
    own_split: bool = False,
) -> NewConfig:
    """Apply the rules of :mod:`choices`; arguments are :class:`NewConfig`'s.

    Raises:
        InputError: no image fits into the memory.
    """
    recipe, images = base.recipe, facts.train_images
    image_size = choices.working_size(facts.size)
    network = network_of(base, wishes, facts)
    crops = choices.crop_sizes(image_size)
    fitting = fit(network, crops, wishes.memory, wishes.amp)
    wanted = choices.wanted_batch(images, recipe)
    batch = choices.make_batch(wanted, wishes.gpus, fitting.images)
    steps = choices.training_steps(recipe, images, batch.total)
    weights = choices.balanced_weights(facts.counts) if wishes.balance_classes else None
    return NewConfig(
        name=name,
        base=base,
        wishes=wishes,
        data=data,
        facts=facts,
        image_size=image_size,
        fit=fitting,
        batch=batch,
        rate=choices.scaled_rate(recipe, batch.total),
        iterations=choices.iterations(steps, batch.accumulate),
        class_weights=weights,
        pairs=pairs,
        own_split=own_split,
    )


def network_of(base: Base, wishes: Wishes, facts: Facts) -> Network:
    """The base's network with the data's classes."""
    config = Config(dict(model=base.config.model, default_scope=base.config.default_scope))
    classes = len(facts.classes)
    weights = dict(loss_cls=dict(class_weight=[1.0] * classes + [0.1]))
    if facts.kind == SEMANTIC:
        options: dict = dict(decode_head=dict(num_classes=classes, **weights))
    else:
        counts = dict(num_things_classes=len(facts.things), num_stuff_classes=len(facts.stuff))
        options = dict(panoptic_head=counts | weights, panoptic_fusion_head=dict(counts))
    if wishes.from_scratch:
        options["backbone"] = scratch_backbone(base)
    config.merge_from_dict(dict(model=options))
    return build_network(config)


def scratch_backbone(base: Base) -> dict:
    """What starts a backbone without weights: mmdet's frozen batch norms would begin at zero."""
    changes: dict = dict(init_cfg=None)
    norm = base.config.model.backbone.get("norm_cfg", {}).get("type")
    if is_type(norm, MODELS, _BatchNorm, scope=base.config.default_scope):
        changes |= dict(norm_cfg=dict(requires_grad=True), norm_eval=False)
    return changes


def default_file(name: str, root: Path) -> Path:
    """Where a config goes unless that is said: here, METHOD_m2f_BACKBONE_DATA.py."""
    stem = "".join(letter if letter.isalnum() else "-" for letter in root.absolute().name)
    return Path(f"{name}_{stem.strip('-') or 'mine'}.py")
