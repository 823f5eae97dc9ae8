"""What was chosen and why, as rows for a table."""

from __future__ import annotations

from pathlib import Path

from mmproscale.own_data import choices
from mmproscale.own_data.coco_layout import SEMANTIC
from mmproscale.own_data.config_text import machine
from mmproscale.own_data.memory_fit import GIB
from mmproscale.own_data.new_config import NewConfig

Row = list[str]


def choice_rows(new: NewConfig) -> list[Row]:
    """Heading and a row for each choice: what, its value, why."""
    rows = [*_data_rows(new), *_image_rows(new), *_batch_rows(new), *_schedule_rows(new)]
    return [["", "chosen", "why"], *rows, _weights_row(new)]


def class_rows(new: NewConfig) -> list[Row]:
    """Heading and a row for each class: its label, name, kind, how often it occurs, its weight."""
    facts, heading = new.facts, ["label", "class", "", new.facts.counted, "weight"]
    kinds = ["thing"] * len(facts.things) + ["stuff"] * len(facts.stuff)
    if facts.kind == SEMANTIC:
        kinds = [""] * len(kinds)
    weights = new.class_weights or (1.0,) * len(kinds)
    rows = [
        [str(label), name, kind, f"{count:,}" if count else "none", f"{weight:g}"]
        for label, (name, kind, count, weight) in enumerate(
            zip(facts.classes, kinds, facts.counts, weights, strict=True)
        )
    ]
    return [heading, *rows]


def _data_rows(new: NewConfig) -> list[Row]:
    facts, data = new.facts, new.data
    assert data.val is not None
    classes = f"{len(facts.things)} things, {len(facts.stuff)} stuff"
    if facts.kind == SEMANTIC:
        classes = str(len(facts.classes))
    train, val = (_short(files.ann, data.root) for files in (data.train, data.val))
    if new.own_split:
        val += ": set aside by the seed; not for neighbouring pictures of a video"
    return [
        ["data", facts.kind, "what its files are"],
        ["classes", classes, "as the files list them; labels are in the table below"],
        ["to train on", f"{facts.train_images:,} images", train],
        ["to validate on", f"{facts.val_images:,} images", val],
    ]


def _short(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _image_rows(new: NewConfig) -> list[Row]:
    facts, fit, wishes = new.facts, new.fit, new.wishes
    size, read = _size(facts.size), _size(new.image_size)
    why = f"median of the images is {size}"
    if new.image_size != facts.size:
        why += f"; no larger than {choices.MOST_IMAGE_PIXELS:,} pixels, Cityscapes' size"
    precision = "mixed precision" if wishes.amp else "fp32"
    first = next(choices.crop_sizes(new.image_size))
    limit = f"the images' shape, multiples of {choices.DIVISOR}"
    if fit.crop != first:
        limit += f"; of {_size(first)} not one fits"
    memory = (
        f"about {fit.per_image / GIB:.2f} GiB an image ({precision}), {fit.fixed / GIB:.2f} GiB "
        f"before the first; {fit.images} fit into {machine(wishes.gpus, wishes.memory)}"
    )
    return [
        ["image size", read, f"{why}; jitter 0.5 to 2"],
        ["crop", _size(fit.crop), limit],
        ["images at once", str(new.batch.per_gpu), memory],
    ]


def _batch_rows(new: NewConfig) -> list[Row]:
    batch, recipe, images = new.batch, new.base.recipe, new.facts.train_images
    recipes = f"the recipe of {new.base.path.stem} is {recipe.rate:g} at batch {recipe.batch}"
    wanted = choices.wanted_batch(images, recipe)
    target = f"the recipe's batch is {recipe.batch}"
    if wanted < recipe.batch:
        target += f"; {wanted} for {images} images: four steps an epoch"
    parts = f"{batch.per_gpu} x {batch.gpus} x {batch.accumulate}"
    return [
        ["accumulation", str(batch.accumulate), f"{parts} = {batch.total} images a step; {target}"],
        ["learning rate", f"{new.rate:g}", f"{recipes}; AdamW: the root of the batches' ratio"],
    ]


def _schedule_rows(new: NewConfig) -> list[Row]:
    recipe, batch, count = new.base.recipe, new.batch, new.iterations
    seen = count / batch.accumulate * batch.total
    why = (
        f"{recipe.steps:,} of batch {recipe.batch} on {recipe.images:,} images there; images seen "
        f"grow with the root of the dataset: {seen:,.0f}, {seen / new.facts.train_images:,.0f} "
        "epochs"
    )
    first, second = choices.milestones(count)
    backbone = new.base.config.model.backbone.get("init_cfg") or {}
    start, reason = str(backbone.get("checkpoint")), "fetched on first use; else --from-scratch"
    if new.wishes.load_from:
        start, reason = new.wishes.load_from, "a class layer of other classes starts anew"
    elif new.wishes.from_scratch or new.base.from_scratch:
        start, reason = "from scratch", "batch norms learn, and the backbone at the whole rate"
    return [
        ["iterations", f"{count:,}", why],
        ["rate falls at", f"{first:,}, {second:,}", "as on COCO: 8/9 and 26/27 of all"],
        [
            "warm-up",
            f"{choices.warm_up(count, batch.accumulate):,}",
            "a twentieth, at most 1,000 steps",
        ],
        ["validation", f"every {count // choices.VALIDATIONS:,}", "20 times; the best is kept"],
        ["weights", start, reason],
    ]


def _weights_row(new: NewConfig) -> Row:
    if new.class_weights:
        return ["class weights", "balanced", "1 to 4: root of the median count over the class's"]
    why = "the recipe's, however rare a class; --balance-classes weighs rare ones more"
    return ["class weights", "1 each", why]


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
