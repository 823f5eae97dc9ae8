"""The text of a new config: what its reader may want to change, section by section."""

from __future__ import annotations

import os
from pathlib import Path

from mmproscale.own_data import choices
from mmproscale.own_data.coco_layout import INSTANCE, SEMANTIC
from mmproscale.own_data.data_text import data_text
from mmproscale.own_data.new_config import NewConfig, scratch_backbone
from mmproscale.own_data.python_text import assigned_names, assigned_weights, literal

HEADER = """\
# {name} on {root}: {classes};
# {train} images to train on, {val} to validate on. For {machine}.
# Written by tools/new_config.py of mmproscale; change what you like.
_base_ = {base}
"""
SCHEDULE = """\
# {per_gpu} images at once x {gpus} x {accumulate} batches accumulated: {total} in a step, and the
# rate is for that. An iteration is one batch.
max_iters = {iterations}
optim_wrapper = dict(
{optimizer}
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end={warm_up}),
    dict(type="MultiStepLR", by_epoch=False, milestones={milestones}, gamma=0.1),
]
train_cfg = dict(
    _delete_=True,
    type="IterBasedTrainLoop",
    max_iters=max_iters,
    val_interval={interval},
)
default_hooks = dict(
    checkpoint=dict(
        interval={interval},
        max_keep_ckpts=2,
        save_best={best},
        rule="greater",
    )
)
auto_scale_lr = dict(base_batch_size={at_once})  # the rate above is already scaled
"""
BEST = dict(panoptic="universal/PQ", instance="coco/segm_mAP", semantic="mIoU")
SCRATCH_OPTIMIZER = """\
    # From scratch the backbone learns at the whole rate, and gradients are larger.
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys={key: dict(decay_mult=0.0) for key in no_decay},
        norm_decay_mult=0.0,
    ),
    clip_grad=dict(max_norm=1.0),"""
NO_DECAY = (
    "query_embed",
    "query_feat",
    "level_embed",
    "level_encoding",
    "relative_position_bias_table",
)


def config_text(new: NewConfig, out: Path) -> str:
    """The config as a file.

    Args:
        new: what was chosen.
        out: where the file goes: its base is named from there.
    """
    sections = [_header(new, out), _classes(new), data_text(new), _model(new), _schedule(new)]
    if new.wishes.load_from:
        sections.append(f"load_from = {literal(_found_anywhere(new.wishes.load_from))}\n")
    return "\n".join(sections)


def _found_anywhere(checkpoint: str) -> str:
    """A file's whole path, since training may start in another folder."""
    return checkpoint if "://" in checkpoint else Path(checkpoint).absolute().as_posix()


def base_reference(base: Path, out: Path) -> str:
    """A base as a config names it: from its own folder in one checkout, else by its whole path."""
    base, folder = base.resolve(), out.absolute().parent.resolve()
    if folder.is_relative_to(base.parent.parent):
        relative = os.path.relpath(base, folder)
        return relative if relative.startswith("..") else f"./{relative}"
    return base.as_posix()


def _header(new: NewConfig, out: Path) -> str:
    facts, wishes = new.facts, new.wishes
    counts = f"{len(facts.things)} things and {len(facts.stuff)} stuff"
    return HEADER.format(
        name=new.name,
        root=new.data.root.absolute(),
        classes=f"{len(facts.classes)} classes" if not facts.things else counts,
        train=facts.train_images,
        val=facts.val_images,
        machine=machine(wishes.gpus, wishes.memory),
        base=literal(base_reference(new.base.path, out)),
    )


def machine(gpus: int, memory: float) -> str:
    """A machine in words."""
    if not gpus:
        return f"a CPU with {memory:g} GiB"
    return f"{gpus} GPU{'s' * (gpus > 1)} of {memory:g} GiB"


def _classes(new: NewConfig) -> str:
    facts = new.facts
    lines = ["# Names in the order of labels; training checks them against the data."]
    if facts.kind == SEMANTIC:
        lines.append(assigned_names("classes", facts.classes))
        lines.append("num_classes = len(classes)")
    else:
        lines.append(assigned_names("things", facts.things))
        lines.append(assigned_names("stuff", facts.stuff))
        lines.append("num_things_classes, num_stuff_classes = len(things), len(stuff)")
    if new.class_weights:
        lines.append(
            "# Rare classes weigh more: the root of the median count over theirs, up to 4."
        )
        named = zip(facts.classes, new.class_weights, strict=True)
        weights = {name: weight for name, weight in named if weight > 1}
        lines.append(assigned_weights("class_weight", weights))
    return "\n".join(lines) + "\n"


def _model(new: NewConfig) -> str:
    lines = ["model = dict(", *_backbone(new)]
    lines += _semantic_head(new) if new.facts.kind == SEMANTIC else _mask_head(new)
    return "\n".join([*lines, ")"]) + "\n"


def _backbone(new: NewConfig) -> list[str]:
    if new.wishes.load_from and not new.base.from_scratch:
        return ["    backbone=dict(init_cfg=None),  # load_from has its weights"]
    if not new.wishes.from_scratch or new.base.from_scratch:
        return []
    if "norm_eval" not in scratch_backbone(new.base):
        return ["    backbone=dict(init_cfg=None),  # from scratch"]
    return [
        "    # From scratch; frozen batch norms, which begin at zero, would never learn.",
        "    backbone=dict(init_cfg=None, norm_cfg=dict(requires_grad=True), norm_eval=False),",
    ]


def _mask_head(new: NewConfig) -> list[str]:
    instance = new.facts.kind == INSTANCE
    padding = "pad_seg=False, batch_augments=None" if instance else "batch_augments=None"
    lines = [
        f"    data_preprocessor=dict({padding}),  # pads to the batch's largest crop",
        "    panoptic_head=dict(",
        "        num_things_classes=num_things_classes,",
        "        num_stuff_classes=num_stuff_classes,",
        *_weights(new, "(num_things_classes + num_stuff_classes)"),
        "    ),",
        "    panoptic_fusion_head=dict(",
        "        num_things_classes=num_things_classes, num_stuff_classes=num_stuff_classes",
        "    ),",
    ]
    return lines + ["    test_cfg=dict(panoptic_on=False, instance_on=True),"] * instance


def _semantic_head(new: NewConfig) -> list[str]:
    width, height = new.fit.crop
    return [
        "    data_preprocessor=dict(size=crop_size),",
        "    decode_head=dict(",
        "        num_classes=num_classes,",
        *_weights(new, "num_classes"),
        "    ),",
        "    # For overlapping crops in tests: --cfg-options model.test_cfg.mode=slide",
        f"    test_cfg=dict(crop_size=crop_size, stride=({2 * height // 3}, {2 * width // 3})),",
    ]


def _weights(new: NewConfig, count: str) -> list[str]:
    """Those of all classes and of 'no object'; by name where they differ."""
    lines = [
        "        # The last weight is that of 'no object'.",
        f"        loss_cls=dict(class_weight=[1.0] * {count} + [0.1]),",
    ]
    return lines + ["        class_weight=class_weight,"] * bool(new.class_weights)


def _schedule(new: NewConfig) -> str:
    batch, interval = new.batch, new.iterations // choices.VALIDATIONS
    text = SCHEDULE.format(
        total=batch.total,
        per_gpu=batch.per_gpu,
        gpus=batch.gpus,
        accumulate=batch.accumulate,
        iterations=new.iterations,
        optimizer=_optimizer(new),
        warm_up=choices.warm_up(new.iterations, batch.accumulate),
        milestones=list(choices.milestones(new.iterations)),
        interval=interval,
        best=literal(BEST[new.facts.kind]),
        at_once=batch.per_gpu * batch.gpus,
    )
    if new.wishes.from_scratch and not new.base.from_scratch:
        return f"{assigned_names('no_decay', NO_DECAY)}\n{text}"
    return text


def _optimizer(new: NewConfig) -> str:
    lines = [f"    optimizer=dict(lr={new.rate!r}),"]
    if new.batch.accumulate > 1:
        lines.append(f"    accumulative_counts={new.batch.accumulate},")
    if new.wishes.amp:
        lines[:0] = ['    type="AmpOptimWrapper",', '    loss_scale="dynamic",']
    if new.wishes.from_scratch and not new.base.from_scratch:
        lines.append(SCRATCH_OPTIMIZER)
    return "\n".join(lines)
