"""Table of the choices and their reasons, and table of the classes."""

from __future__ import annotations

from pathlib import Path

from mmproscale.own_data import choices
from mmproscale.own_data.choices import Choices
from mmproscale.own_data.layouts import BOXES, SEMANTIC
from mmproscale.own_data.memory_fit import GIB
from mmproscale.utils.words import plural

Row = list[str]
ASKED = "as you asked"


def choice_rows(chosen: Choices) -> list[Row]:
    """Return the heading and a row for each choice: its name, its value, its reason."""
    parts = (_data_rows, _image_rows, _batch_rows, _schedule_rows, _weights_rows)
    return [["", "chosen", "why"], *(row for part in parts for row in part(chosen))]


def class_rows(chosen: Choices) -> list[Row]:
    """Return the heading and a row for each class: label, name, kind, count, weight."""
    facts, heading = chosen.data.facts, ["label", "class", "", chosen.data.facts.counted, "weight"]
    kinds = ["thing"] * len(facts.things) + ["stuff"] * len(facts.stuff)
    if facts.kind in (SEMANTIC, BOXES):
        kinds = [""] * len(kinds)
    weights = chosen.class_weights or (1.0,) * len(kinds)
    rows = [
        [str(label), name, kind, f"{count:,}" if count else "none", f"{weight:g}"]
        for label, (name, kind, count, weight) in enumerate(
            zip(facts.classes, kinds, facts.counts, weights, strict=True)
        )
    ]
    return [heading, *rows]


def _data_rows(chosen: Choices) -> list[Row]:
    facts, data = chosen.data.facts, chosen.data.found
    assert data.val is not None
    classes = f"{len(facts.things)} things, {len(facts.stuff)} stuff"
    if facts.kind in (SEMANTIC, BOXES):
        classes = str(len(facts.classes))
    train, val = (_short(files.ann, data.root) for files in (data.train, data.val))
    if chosen.data.lists:
        val += ": set aside by the seed; unsuitable for neighbouring frames of a video"
    return [
        ["data", facts.kind, "kind of its files"],
        ["classes", classes, "as the files list them; labels are in the table below"],
        ["to train on", plural(facts.train_images, "image"), train],
        ["to validate on", plural(facts.val_images, "image"), val],
    ]


def _short(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _image_rows(chosen: Choices) -> list[Row]:
    facts, fit, options = chosen.data.facts, chosen.fit, chosen.options
    size, read = _size(facts.size), _size(chosen.image_size)
    why = f"the median of the images is {size}"
    if options.image_size:
        why = f"{ASKED}; {why}"
    elif chosen.image_size != facts.size:
        why += f"; at most {choices.MOST_IMAGE_PIXELS:,} pixels, Cityscapes' size"
    precision = "mixed precision" if options.amp else "fp32"
    first = next(choices.crop_sizes(chosen.image_size))
    limit = ASKED if options.crop else f"the images' shape, multiples of {choices.DIVISOR}"
    if fit.crop != first and not options.crop:
        limit += f"; no image of {_size(first)} fits"
    memory = (
        f"about {fit.per_image / GIB:.2f} GiB an image ({precision}) and {fit.fixed / GIB:.2f} GiB "
        f"for the model; {plural(fit.images, 'image')} fit into {options.machine}"
    )
    return [
        ["image size", read, f"{why}; jitter 0.5 to 2"],
        ["crop", _size(fit.crop), limit],
        ["images at once", str(chosen.batch.per_gpu), memory],
    ]


def _batch_rows(chosen: Choices) -> list[Row]:
    batch, recipe, images = chosen.batch, chosen.base.recipe, chosen.data.facts.train_images
    recipes = f"the recipe of {chosen.base.path.stem} is {recipe.rate:g} at batch {recipe.batch}"
    wanted = choices.wanted_batch(images, recipe)
    target = f"the recipe's batch is {recipe.batch}"
    if chosen.options.batch:
        target = f"{ASKED}; {target}"
    elif wanted < recipe.batch:
        target += f"; {wanted} for {images} images: four steps an epoch"
    parts = f"{batch.per_gpu} x {batch.gpus} x {batch.accumulate}"
    step = f"{plural(batch.total, 'image')} a step"
    return [
        ["accumulation", str(batch.accumulate), f"{parts} = {step}; {target}"],
        [
            "learning rate",
            f"{chosen.rate:g}",
            f"{recipes}; times the square root of the batches' ratio",
        ],
    ]


def _schedule_rows(chosen: Choices) -> list[Row]:
    batch, count = chosen.batch, chosen.iterations
    first, second = chosen.milestones
    often = chosen.validations
    each = "" if batch.accumulate == 1 else f" of {batch.accumulate} iterations"
    return [
        ["iterations", f"{count:,}", _length(chosen)],
        ["rate falls at", f"{first:,}, {second:,}", "as on COCO: 8/9 and 26/27 of all"],
        ["warm-up", f"{chosen.warm_up:,}", f"a twentieth of all, at most 1,000 steps{each}"],
        ["validation", f"every {chosen.interval:,}", f"{often} times; the best checkpoint is kept"],
    ]


def _length(chosen: Choices) -> str:
    """Return the reason for the number of iterations."""
    recipe, facts, options = chosen.base.recipe, chosen.data.facts, chosen.options
    seen = chosen.epochs * facts.train_images
    passes = f"{seen:,.0f} images, {chosen.epochs:,.0f} epochs"
    if options.iterations or options.epochs:
        return f"{ASKED}: {passes}"
    most = choices.most_epochs(chosen.start)
    if choices.images_seen(recipe, facts.train_images) > most * facts.train_images:
        return f"{passes}: at most {most} epochs for small data"
    return (
        f"the recipe has {recipe.steps:,} of batch {recipe.batch} on {recipe.images:,} images; the "
        f"number of images seen grows with the square root of the dataset's size: {passes}"
    )


def _weights_rows(chosen: Choices) -> list[Row]:
    weights = ["1 each", "the recipe's; --balance-classes weighs rare classes more"]
    if chosen.class_weights:
        weights = ["balanced", "1 to 4: the square root of (median count / the class's count)"]
    rows = [["weights", chosen.start.source or "from scratch", chosen.start.why]]
    if chosen.options.frozen_backbone:
        rows.append(["backbone", "frozen", f"{ASKED}; the rest learns"])
    if chosen.data.facts.kind != BOXES:
        rows.append(["class weights", *weights])
    return rows


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
