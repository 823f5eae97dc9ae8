"""Text of a new config: the choices, over base files with the model, the recipe, the optimizer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path

from yapf.yapflib.yapf_api import FormatCode

from mmproscale.own_data.choices import Choices
from mmproscale.own_data.dataset_facts import Facts
from mmproscale.own_data.dataset_reading import CheckedData
from mmproscale.own_data.layouts import BOXES, INSTANCE, SEMANTIC, SplitFiles
from mmproscale.utils.config import CONFIGS

STYLE = dict(
    based_on_style="facebook",
    column_limit=100,
    space_between_ending_comma_and_closing_bracket=False,
)
CONFIG = """\
# {chosen.base.name}: {chosen.data.facts.train_images} images to train on, \
{chosen.data.facts.val_images} to validate on. For {chosen.options.machine}.
# Written by tools/new_config.py of mmproscale; change what you like.
_base_ = [{base_files},]

# Names in the order of labels; training checks them against the data.
{classes}

{data}
{model}
# {batch.per_gpu} images at once x {batch.gpus} x {batch.accumulate} batches accumulated: \
{batch.total} in a step. The rate
# is for that number. An iteration is one batch.
optim_wrapper = dict(optimizer=dict(lr={chosen.rate!r}), accumulative_counts={batch.accumulate})
param_scheduler = [
    dict(_base_.warm_up, end={chosen.warm_up}),
    dict(_base_.falls, milestones={chosen.milestones}),
]
train_cfg = dict(max_iters={chosen.iterations}, val_interval={chosen.interval})
default_hooks = dict(checkpoint=dict(interval={chosen.interval}))
auto_scale_lr = dict(base_batch_size={at_once})  # the rate above is already scaled
"""
DATA = """\
# --cfg-options data_root=DIR moves every path below it.
data_root = {root}
image_size = {chosen.image_size}  # width, height: the median of the images
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
model = dict(segmentor, backbone={backbone}, decode_head=head)
{norms}"""
TIMM_NORMS = 'model["data_preprocessor"].update(_base_.timm_parts.data_preprocessor)\n'
RARE = """
# Rare classes have the square root of (median count / the class's count), at most 4.
model["{head}"]["class_weight"] = {weights}
"""
AMP = 'optim_wrapper.update(type="AmpOptimWrapper", loss_scale="dynamic")\n'
BACKBONE = "_base_.model.backbone"
FROM_SCRATCH = """
# From scratch: a ResNet's frozen batch norms would begin at zero and never learn.
model["backbone"] = dict({backbone}, init_cfg=None{norms})
"""
LOAD_FROM = """
load_from = {source}
model["backbone"] = dict({backbone}, init_cfg=None)  # its weights are in load_from
"""


def new_config_text(chosen: Choices, out: Path) -> str:
    """Return the config as the text of a file.

    Args:
        chosen: The choices.
        out: Place of the file, from which it names its base files.
    """
    base, data = chosen.base, chosen.data
    scratch = chosen.options.from_scratch or base.from_scratch
    recipe, schedule = data.facts.kind, "adamw_from_scratch" if scratch else "m2f_adamw"
    if recipe == BOXES:
        recipe, schedule = "detection", "own_detr_from_scratch" if scratch else "detr_adamw"
    files = f"models/{base.name}", f"recipes/own_{recipe}", f"schedules/{schedule}"
    text = CONFIG.format(
        chosen=chosen,
        batch=chosen.batch,
        base_files=", ".join(_base_file(file, out) for file in files),
        classes=_classes(data.facts),
        data=_data(chosen),
        model=_model(chosen),
        at_once=chosen.batch.per_gpu * chosen.batch.gpus,
    )
    return FormatCode("".join([text, *_options(chosen)]), style_config=STYLE)[0]


def _base_file(file: str, out: Path) -> str:
    """Return a base file's path: relative if both files are in one checkout, else absolute."""
    base, folder = CONFIGS / f"_base_/{file}.py", out.absolute().parent.resolve()
    inside = folder.is_relative_to(CONFIGS.parent)
    return _literal(os.path.relpath(base, folder) if inside else base.as_posix())


def _classes(facts: Facts) -> str:
    if facts.kind in (SEMANTIC, BOXES):
        return f"classes = {_tuple(facts.classes)}"
    names = f"things = {_tuple(facts.things)}\nstuff = {_tuple(facts.stuff)}"
    return f"{names}\nclasses = things + stuff"


def _data(chosen: Choices) -> str:
    data, found, (width, height) = chosen.data, chosen.data.found, chosen.fit.crop
    semantic = data.facts.kind == SEMANTIC
    assert found.val is not None
    return DATA.format(
        chosen=chosen,
        root=_literal(f"{found.root.absolute().as_posix()}/"),
        crop=f"({height}, {width})  # height, width: mmsegmentation's order"
        if semantic
        else f"({width}, {height})  # width, height",
        endings=_endings(data) if semantic else "",
        workers=4 if chosen.options.gpus else 2,
        train=_split(data, found.train),
        val=_split(data, found.val),
        metric="" if semantic else _metric(data, found.val),
    )


def _endings(data: CheckedData) -> str:
    """Return the endings of images and maps, and the label that is void."""
    assert data.endings is not None
    image, label_map = _literal(data.endings.image), _literal(data.endings.map)
    void = "reduce_zero_label=True," * data.zero_is_void
    return f", img_suffix={image}, seg_map_suffix={label_map},{void}"


def _split(data: CheckedData, files: SplitFiles) -> str:
    ann: Path | None = files.ann
    folders: dict[str, Path | None] = dict(img=files.img, seg=files.seg)
    if data.facts.kind == SEMANTIC:
        ann, folders = files.names, dict(img_path=files.img, seg_map_path=files.ann)
    items = [f"{key}={_path(data, path, '/')}" for key, path in folders.items() if path]
    start = f"ann_file={_path(data, ann)}, " if ann else ""
    return f"{start}data_prefix=dict({', '.join(items)})"


def _metric(data: CheckedData, files: SplitFiles) -> str:
    paths = dict(ann_file=_path(data, files.ann))
    if files.seg is not None:
        paths["seg_prefix"] = _path(data, files.seg, "/")
    # Datasets put the root before relative paths only; metrics do not know it.
    items = [f"{k}={'' if path[1] == '/' else 'data_root + '}{path}" for k, path in paths.items()]
    comma = "," * (len(items) > 1)  # has the formatter write one item a line
    return f"val_evaluator = dict({', '.join(items)}{comma})\ntest_evaluator = val_evaluator\n"


def _model(chosen: Choices) -> str:
    (width, height), kind = chosen.fit.crop, chosen.data.facts.kind
    if kind == SEMANTIC:
        stride = (2 * height // 3, 2 * width // 3)
        norms = TIMM_NORMS * bool(chosen.base.timm_model)
        return SEMANTIC_MODEL.format(stride=stride, backbone=_backbone(chosen), norms=norms)
    if kind == BOXES:
        return BOX_MODEL.format(settings=_fewer_queries(chosen))
    settings = "_base_.model_settings," * (kind == INSTANCE)
    if chosen.base.timm_model:
        settings += f"backbone=dict(model={_literal(chosen.base.timm_model)}),"
    return MASK_MODEL.format(settings=settings)


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


def _backbone(chosen: Choices) -> str:
    """Return the base's backbone as code, with the model of timm that was asked for."""
    model = chosen.base.timm_model
    return f"dict(_base_.model.backbone, model={_literal(model)})" if model else BACKBONE


def _options(chosen: Choices) -> Iterator[str]:
    """Yield the statements that options of the command line ask for."""
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
    if options.from_scratch and not base.from_scratch:
        norms = ', norm_cfg=dict(type="BN", requires_grad=True), norm_eval=False,'
        norms *= "norm_eval" in base.scratch_backbone
        yield FROM_SCRATCH.format(backbone=_backbone(chosen), norms=norms)
    if options.load_from:
        source = options.load_from
        if "://" not in source:  # training may start in another folder
            source = Path(source).absolute().as_posix()
        yield LOAD_FROM.format(source=_literal(source), backbone=_backbone(chosen))


def _path(data: CheckedData, path: Path, end: str = "") -> str:
    """Return a path relative to the root of the data; an absolute one outside the root."""
    relative = os.path.relpath(path.absolute(), data.found.root.absolute())
    if relative == ".":
        return '"./"'
    inside = not relative.startswith("..")
    return _literal((Path(relative) if inside else path.absolute()).as_posix() + end)


def _tuple(names: tuple[str, ...]) -> str:
    return f"({', '.join(map(_literal, names))}{',' * (len(names) == 1)})"


def _literal(value: str | dict[str, float]) -> str:
    """Return names, paths and weights as Python writes them, in double quotes."""
    return json.dumps(value, ensure_ascii=False)
