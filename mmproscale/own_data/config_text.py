"""Text of a new config, section by section."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mmproscale.own_data.choices import VALIDATIONS, Choices, milestones, warm_up
from mmproscale.own_data.data_text import WIDTH, data_text, literal
from mmproscale.own_data.layouts import INSTANCE, SEMANTIC

HEADER = """\
# {name} on {root}: {classes};
# {train} images to train on, {val} to validate on. For {machine}.
# Written by tools/new_config.py of mmproscale; change what you like.
_base_ = {base}
"""
SCHEDULE = """\
# {per_gpu} images at once x {gpus} x {accumulate} batches accumulated: {total} in a step. The rate
# is for that number. An iteration is one batch.
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
    # From scratch, the backbone learns at the full rate, and gradients are larger.
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


def new_config_text(chosen: Choices, out: Path) -> str:
    """Return the config as the text of a file.

    Args:
        chosen: The choices.
        out: Place of the file, from which it names its base.
    """
    sections = [
        _header(chosen, out),
        _classes(chosen),
        data_text(chosen),
        _model(chosen),
        _schedule(chosen),
    ]
    if chosen.options.load_from:
        source = chosen.options.load_from
        if "://" not in source:  # training may start in another folder
            source = Path(source).absolute().as_posix()
        sections.append(f"load_from = {literal(source)}\n")
    return "\n".join(sections)


def _base_reference(base: Path, out: Path) -> str:
    """Return the base's path: relative if both files are in one checkout, else absolute."""
    base, folder = base.resolve(), out.absolute().parent.resolve()
    if folder.is_relative_to(base.parent.parent):
        relative = os.path.relpath(base, folder)
        return relative if relative.startswith("..") else f"./{relative}"
    return base.as_posix()


def _header(chosen: Choices, out: Path) -> str:
    facts, options = chosen.data.facts, chosen.options
    counts = f"{len(facts.things)} things and {len(facts.stuff)} stuff"
    return HEADER.format(
        name=chosen.base.name,
        root=chosen.data.found.root.absolute(),
        classes=f"{len(facts.classes)} classes" if not facts.things else counts,
        train=facts.train_images,
        val=facts.val_images,
        machine=options.machine,
        base=literal(_base_reference(chosen.base.path, out)),
    )


def _classes(chosen: Choices) -> str:
    facts = chosen.data.facts
    lines = ["# Names in the order of labels; training checks them against the data."]
    if facts.kind == SEMANTIC:
        lines.append(_tuple("classes", facts.classes))
        lines.append("num_classes = len(classes)")
    else:
        lines.append(_tuple("things", facts.things))
        lines.append(_tuple("stuff", facts.stuff))
        lines.append("num_things_classes, num_stuff_classes = len(things), len(stuff)")
    if chosen.class_weights:
        lines.append("# Rare classes: the root of the median count over the class's, at most 4.")
        weights = zip(facts.classes, chosen.class_weights, strict=True)
        items = [f"    {literal(name)}: {weight!r}," for name, weight in weights if weight > 1]
        lines += ["class_weight = {", *items, "}"]
    return "\n".join(lines) + "\n"


def _tuple(variable: str, names: Sequence[str]) -> str:
    """Assign a tuple of strings, in one line if they fit."""
    items = [literal(name) for name in names]
    comma = "," if len(items) == 1 else ""
    line = f"{variable} = ({', '.join(items)}{comma})"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{variable} = (", *(f"    {item}," for item in items), ")"])


def _model(chosen: Choices) -> str:
    lines = ["model = dict(", *_backbone(chosen)]
    lines += _semantic_head(chosen) if chosen.data.facts.kind == SEMANTIC else _mask_head(chosen)
    return "\n".join([*lines, ")"]) + "\n"


def _backbone(chosen: Choices) -> list[str]:
    if chosen.options.load_from and not chosen.base.from_scratch:
        return ["    backbone=dict(init_cfg=None),  # load_from has its weights"]
    if not chosen.options.from_scratch or chosen.base.from_scratch:
        return []
    if "norm_eval" not in chosen.base.scratch_backbone:
        return ["    backbone=dict(init_cfg=None),  # from scratch"]
    return [
        "    # From scratch: frozen batch norms begin at zero and would never learn.",
        "    backbone=dict(init_cfg=None, norm_cfg=dict(requires_grad=True), norm_eval=False),",
    ]


def _mask_head(chosen: Choices) -> list[str]:
    instance = chosen.data.facts.kind == INSTANCE
    padding = "pad_seg=False, batch_augments=None" if instance else "batch_augments=None"
    lines = [
        f"    data_preprocessor=dict({padding}),  # pads to the batch's largest crop",
        "    panoptic_head=dict(",
        "        num_things_classes=num_things_classes,",
        "        num_stuff_classes=num_stuff_classes,",
        *_weights(chosen, "(num_things_classes + num_stuff_classes)"),
        "    ),",
        "    panoptic_fusion_head=dict(",
        "        num_things_classes=num_things_classes, num_stuff_classes=num_stuff_classes",
        "    ),",
    ]
    return lines + ["    test_cfg=dict(panoptic_on=False, instance_on=True),"] * instance


def _semantic_head(chosen: Choices) -> list[str]:
    width, height = chosen.fit.crop
    return [
        "    data_preprocessor=dict(size=crop_size),",
        "    decode_head=dict(",
        "        num_classes=num_classes,",
        *_weights(chosen, "num_classes"),
        "    ),",
        "    # Tests with overlapping crops: --cfg-options model.test_cfg.mode=slide",
        f"    test_cfg=dict(crop_size=crop_size, stride=({2 * height // 3}, {2 * width // 3})),",
    ]


def _weights(chosen: Choices, count: str) -> list[str]:
    """Return the weights of all classes and of 'no object', and those by name."""
    lines = [
        "        # The last weight is that of 'no object'.",
        f"        loss_cls=dict(class_weight=[1.0] * {count} + [0.1]),",
    ]
    return lines + ["        class_weight=class_weight,"] * bool(chosen.class_weights)


def _schedule(chosen: Choices) -> str:
    batch, interval = chosen.batch, chosen.iterations // VALIDATIONS
    text = SCHEDULE.format(
        total=batch.total,
        per_gpu=batch.per_gpu,
        gpus=batch.gpus,
        accumulate=batch.accumulate,
        iterations=chosen.iterations,
        optimizer=_optimizer(chosen),
        warm_up=warm_up(chosen.iterations, batch.accumulate),
        milestones=list(milestones(chosen.iterations)),
        interval=interval,
        best=literal(BEST[chosen.data.facts.kind]),
        at_once=batch.per_gpu * batch.gpus,
    )
    if chosen.options.from_scratch and not chosen.base.from_scratch:
        return f"{_tuple('no_decay', NO_DECAY)}\n{text}"
    return text


def _optimizer(chosen: Choices) -> str:
    lines = [f"    optimizer=dict(lr={chosen.rate!r}),"]
    if chosen.batch.accumulate > 1:
        lines.append(f"    accumulative_counts={chosen.batch.accumulate},")
    if chosen.options.amp:
        lines[:0] = ['    type="AmpOptimWrapper",', '    loss_scale="dynamic",']
    if chosen.options.from_scratch and not chosen.base.from_scratch:
        lines.append(SCRATCH_OPTIMIZER)
    return "\n".join(lines)
