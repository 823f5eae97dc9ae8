"""Text of a new config: the choices, over base files with the model, the recipe, the optimizer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from math import ceil
from pathlib import Path
from typing import Any

from yapf.yapflib.yapf_api import FormatCode

from mmproscale.own_data.base_configs import BaseConfig
from mmproscale.own_data.choices import Choices
from mmproscale.own_data.dataset_facts import Facts
from mmproscale.own_data.dataset_reading import CheckedData
from mmproscale.own_data.layouts import BOXES, INSTANCE, SEMANTIC, SplitFiles

STYLE = dict(
    based_on_style="facebook",
    column_limit=100,
    space_between_ending_comma_and_closing_bracket=False,
)
CONFIG = """\
# {chosen.base.name}: {chosen.data.facts.train_images} images to train on, \
{chosen.data.facts.val_images} to validate on. For {chosen.options.machine}.
# Written by tools/new_config.py of mmproscale; change what you like. Base files are those of the
# installed mmproscale, and paths that start with fileDirname begin at this file's folder.
_base_ = __import__("mmproscale").base_files({base_files})

# Names in the order of labels; training checks them against the data.
{classes}

{data}
{backbone}{encoder}{model}
# {batch.per_gpu} images at once x {batch.gpus} x {batch.accumulate} batches accumulated: \
{batch.total} in a step. The rate
# is for that number. An iteration is one batch.
optim_wrapper = dict(optimizer=dict(lr={chosen.rate!r}), accumulative_counts={batch.accumulate})
param_scheduler = [
    dict(_base_.warm_up, end={chosen.warm_up}),
    dict(_base_.falls, milestones={chosen.milestones}),
]
train_cfg = dict(max_iters={chosen.iterations}, val_interval={chosen.interval})
default_hooks = dict(logger=dict(interval={chosen.log_interval}), \
checkpoint=dict(interval={chosen.interval}))
auto_scale_lr = dict(base_batch_size={at_once})  # the rate above is already scaled
"""
DATA = """\
# --cfg-options data_root=DIR moves every path below it.
data_root = {root}
image_size = {chosen.image_size}  # width, height at which images are read
crop_size = {crop}
train_pipeline = [
    *_base_.first_steps,
    dict(_base_.random_resize, scale=image_size),
    dict(_base_.crop, crop_size=crop_size),
    *_base_.last_steps,
]
test_pipeline = [_base_.load_image, dict(_base_.resize, scale=image_size), *_base_.last_test_steps]
files = dict(data_root=data_root, metainfo=dict(classes=classes){endings})
train_dataloader = dict(
    batch_size={chosen.batch.per_gpu},
    num_workers={workers},
    dataset=dict(files, {train}, pipeline=train_pipeline,),
)
val_dataloader = dict(
    num_workers={workers},
    dataset=dict(files, {val}, pipeline=test_pipeline,),
)
test_dataloader = val_dataloader
{metric}del files
"""
MASK_MODEL = """\
counts = dict(num_things_classes=len(things), num_stuff_classes=len(stuff))
class_weight = [1.0] * len(classes) + [0.1]  # the last: no object
model = dict({settings}
    panoptic_head=dict(counts, loss_cls=dict(class_weight=class_weight)),
    panoptic_fusion_head=counts,
)
del counts, class_weight
"""
BOX_MODEL = "model = dict({settings}bbox_head=dict(num_classes=len(classes)))\n"
# A detector chooses its queries among the tokens of the image.
FEWER_QUERIES = "num_queries={queries}, test_cfg=dict(max_per_img={most}),"
STRIDES = (8, 16, 32, 64)
SEMANTIC_MODEL = """\
segmentor, head = _base_.segmentor, _base_.head
segmentor.data_preprocessor.size = segmentor.test_cfg.crop_size = crop_size
segmentor.test_cfg.stride = {stride}
head.num_classes = len(classes)
head.loss_cls.class_weight = [1.0] * len(classes) + [0.1]  # the last: no object
head = dict(_base_.model.panoptic_head, train_cfg=_base_.model.train_cfg, **head)
model = dict(segmentor, backbone=_base_.model.backbone, decode_head=head)
{norms}"""
TIMM_NORMS = 'model["data_preprocessor"].update(_base_.timm_parts.data_preprocessor)\n'
RARE = """
# Rare classes have the square root of (median count / the class's count), at most 4.
model["{head}"]["class_weight"] = {weights}
"""
AMP = 'optim_wrapper.update(type="AmpOptimWrapper", loss_scale="dynamic")\n'
BACKBONE = """\
# {why}
_base_.model.backbone.update({changes})
"""


def new_config_text(chosen: Choices, out: Path) -> str:
    """Return the config as the text of a file.

    Args:
        chosen: The choices.
        out: Place of the file, from which it names its base files.
    """
    base, data = chosen.base, chosen.data
    scratch = chosen.start.from_scratch
    recipe, schedule = data.facts.kind, "adamw_from_scratch" if scratch else "m2f_adamw"
    if recipe == BOXES:
        recipe, schedule = "detection", "own_detr_from_scratch" if scratch else "detr_adamw"
    files = f"models/{base.name}", f"recipes/own_{recipe}", f"schedules/{schedule}"
    text = CONFIG.format(
        chosen=chosen,
        batch=chosen.batch,
        base_files=", ".join(map(_literal, files)) + ",",
        classes=_classes(data.facts),
        data=_data(chosen, out),
        backbone=_backbone(chosen),
        encoder=_encoder(base),
        model=_model(chosen),
        at_once=chosen.batch.per_gpu * chosen.batch.gpus,
    )
    return FormatCode("".join([text, *_options(chosen, out)]), style_config=STYLE)[0]


def _backbone(chosen: Choices) -> str:
    """Return the statement that changes the base's backbone; empty if nothing changes."""
    changes = dict(chosen.backbone)
    if chosen.base.timm_model:
        changes["model"] = chosen.base.timm_model
    why = "The backbone's weights, and the part of it that does not learn."
    if chosen.start.from_scratch:
        why = "From scratch: frozen batch norms would begin at zero and never learn."
    elif chosen.start.whole:
        why = "The backbone's weights are in load_from."
    return BACKBONE.format(why=why, changes=_arguments(changes)) if changes else ""


def _encoder(base: BaseConfig) -> str:
    """Return the statements of the encoder that a plan chose; empty without a plan."""
    lines = [f"_base_.model.{place} = {_code(value)}\n" for place, value in base.encoder.items()]
    return "".join(["# The encoder that a plan chose.\n"] * bool(lines) + lines)


def _classes(facts: Facts) -> str:
    if facts.kind in (SEMANTIC, BOXES):
        return f"classes = {_tuple(facts.classes)}"
    names = f"things = {_tuple(facts.things)}\nstuff = {_tuple(facts.stuff)}"
    return f"{names}\nclasses = things + stuff"


def _data(chosen: Choices, out: Path) -> str:
    data, found, (width, height) = chosen.data, chosen.data.found, chosen.fit.crop
    semantic = data.facts.kind == SEMANTIC
    assert found.val is not None
    return DATA.format(
        chosen=chosen,
        root=_place(found.root, out, "/"),
        crop=f"({height}, {width})  # height, width: mmsegmentation's order"
        if semantic
        else f"({width}, {height})  # width, height",
        endings=_endings(data) if semantic else "",
        workers=4 if chosen.options.gpus else 2,
        train=_split(data, found.train, out),
        val=_split(data, found.val, out),
        metric="" if semantic else _metric(data, found.val, out),
    )


def _endings(data: CheckedData) -> str:
    """Return the endings of images and maps, and the label that is void."""
    assert data.endings is not None
    image, label_map = _literal(data.endings.image), _literal(data.endings.map)
    void = "reduce_zero_label=True," * data.zero_is_void
    return f", img_suffix={image}, seg_map_suffix={label_map},{void}"


def _split(data: CheckedData, files: SplitFiles, out: Path) -> str:
    ann: Path | None = files.ann
    folders: dict[str, Path | None] = dict(img=files.img, seg=files.seg)
    if data.facts.kind == SEMANTIC:
        ann, folders = files.names, dict(img_path=files.img, seg_map_path=files.ann)
    items = [f"{key}={_path(data, path, out, '/')}" for key, path in folders.items() if path]
    start = f"ann_file={_path(data, ann, out)}, " if ann else ""
    return f"{start}data_prefix=dict({', '.join(items)})"


def _metric(data: CheckedData, files: SplitFiles, out: Path) -> str:
    paths = dict(ann_file=_path(data, files.ann, out))
    if files.seg is not None:
        paths["seg_prefix"] = _path(data, files.seg, out, "/")
    # Datasets put the root before relative paths only; metrics do not know it.
    items = [
        f"{key}={'' if path[1] in '/{' else 'data_root + '}{path}" for key, path in paths.items()
    ]
    comma = "," * (len(items) > 1)  # has the formatter write one item a line
    return f"val_evaluator = dict({', '.join(items)}{comma})\ntest_evaluator = val_evaluator\n"


def _model(chosen: Choices) -> str:
    (width, height), kind = chosen.fit.crop, chosen.data.facts.kind
    if kind == SEMANTIC:
        stride = (2 * height // 3, 2 * width // 3)
        norms = TIMM_NORMS * bool(chosen.base.timm_model)
        return SEMANTIC_MODEL.format(stride=stride, norms=norms)
    if kind == BOXES:
        return BOX_MODEL.format(settings=_fewer_queries(chosen))
    return MASK_MODEL.format(settings="_base_.model_settings," * (kind == INSTANCE))


def _fewer_queries(chosen: Choices) -> str:
    """Return the setting of fewer queries, if the smallest image has fewer tokens than queries."""
    smallest = [
        min(side // 2, most) for side, most in zip(chosen.image_size, chosen.fit.crop, strict=True)
    ]
    tokens = sum(ceil(smallest[0] / step) * ceil(smallest[1] / step) for step in STRIDES)
    model = chosen.base.config.model
    if tokens >= model.num_queries:
        return ""
    return FEWER_QUERIES.format(queries=tokens, most=min(tokens, model.test_cfg.max_per_img))


def _options(chosen: Choices, out: Path) -> Iterator[str]:
    """Yield the statements that options of the command line ask for, and those of the start."""
    base, options, facts = chosen.base, chosen.options, chosen.data.facts
    if chosen.class_weights:
        head = "decode_head" if facts.kind == SEMANTIC else "panoptic_head"
        weights = zip(facts.classes, chosen.class_weights, strict=True)
        rare = {name: weight for name, weight in weights if weight > 1}
        yield RARE.format(head=head, weights=_literal(rare))
    if options.amp:
        yield AMP
    if "sync_bn" in base.config:
        yield f"sync_bn = {_literal(base.config.sync_bn)}  # batch norms over all GPUs\n"
    if base.config.model.backbone.type.startswith("mmpretrain."):
        yield f"custom_imports = dict(imports={_literal(base.config.custom_imports.imports)})\n"
    if chosen.start.whole:
        source = chosen.start.source
        yield f"load_from = {_literal(source) if '://' in source else _place(Path(source), out)}\n"


def _path(data: CheckedData, path: Path, out: Path, end: str = "") -> str:
    """Return a path relative to the root of the data, or :func:`_place` outside the root."""
    relative = os.path.relpath(path.absolute(), data.found.root.absolute())
    if relative == ".":
        return '"./"'
    if relative.startswith(".."):
        return _place(path, out, end)
    return _literal(Path(relative).as_posix() + end)


def _place(path: Path, out: Path, end: str = "") -> str:
    """Return a path that starts at the config's folder, or an absolute one if it is far from it.

    A path is near if the way to it rises by at most two folders, and not to the root of all.
    """
    path, folder = Path(os.path.abspath(path)), out.absolute().parent.resolve()
    relative = Path(os.path.relpath(path, folder))
    rises = relative.parts.count("..")
    if rises > 2 or rises >= len(folder.parts) - 1:
        return _literal(path.as_posix() + end)
    inside = relative.as_posix() + end if relative.parts else end.removeprefix("/")
    return _literal(f"{{{{ fileDirname }}}}/{inside}")


def _tuple(names: tuple[str, ...]) -> str:
    return f"({', '.join(map(_literal, names))}{',' * (len(names) == 1)})"


def _literal(value: str | dict[str, float]) -> str:
    """Return names, paths and weights as Python writes them, in double quotes."""
    return json.dumps(value, ensure_ascii=False)


def _code(value: Any) -> str:
    """Return a value of a config as Python writes it: dicts as calls, text in double quotes."""
    if isinstance(value, Mapping):
        return f"dict({_arguments(value)})"
    return _literal(value) if isinstance(value, str) else repr(value)


def _arguments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={_code(value)}" for key, value in values.items())
