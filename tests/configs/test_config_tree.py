"""Configs are made of a few bases, and their first lines say what they are."""

from pathlib import Path

import pytest
from helpers.zoo import HEADER
from mmengine.config import Config

from mmproscale.planning.published import COCO, PUBLISHED, PUBLISHED_DETR
from mmproscale.utils.config import load_config

FOLDER = Path(__file__).resolve().parents[2] / "configs"
CONFIGS = sorted(FOLDER.glob("*.py"))
EVERY = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
BACKBONES = {
    "r50-dino": "R50 by DINO",
    "swin-t-moby": "Swin-T by MoBY",
    "mvitv2-t": "MViTv2-T",
    "swin": "Swin",
}


def bases_of(path: Path) -> list[Path]:
    return [(path.parent / base).resolve() for base in Config._get_base_files(str(path))]


def depth(path: Path) -> int:
    return 1 + max((depth(base) for base in bases_of(path)), default=0)


@EVERY
def test_a_config_is_short_and_its_bases_are_at_most_four_levels_deep(path):
    assert len(path.read_text().splitlines()) <= 10
    assert depth(path) <= 4


@pytest.mark.parametrize("path", [p for p in CONFIGS if "m2f" in p.stem], ids=lambda p: p.stem)
def test_a_segmentor_is_the_model_of_its_name_with_a_recipe(path):
    name = path.stem.rpartition("_")[0]
    model, recipe = bases_of(path)
    assert model == FOLDER / f"_base_/models/{name}.py"
    assert recipe.parent == FOLDER / "_base_/recipes"


def test_every_base_is_used_by_a_config_or_for_users_data():
    own = {*FOLDER.glob("_base_/*/own_*.py")}
    used, found = set(), {*CONFIGS, *own}
    while found:
        used |= found
        found = {base.resolve() for path in found for base in bases_of(path)} - used
    models = {*FOLDER.glob("_base_/models/*.py")}
    assert {*FOLDER.glob("_base_/**/*.py")} - models <= used


@EVERY
def test_the_first_line_is_that_of_the_config(path):
    config = load_config(path)
    line = path.read_text().splitlines()[0]
    header = HEADER.fullmatch(line)
    assert header, line
    assert int(header["batch"]) == config.auto_scale_lr.base_batch_size
    assert int(header["steps"].replace(",", "")) == config.train_cfg.max_iters
    backbone, dataset = path.stem.split("_")[-2:]
    named = next((BACKBONES[b] for b in BACKBONES if b == backbone), None)
    assert f", {named or backbone.replace('swin', 'Swin').upper()}, ".lower() in line.lower()
    dataset, _, kind = dataset.partition("-")
    assert header["data"].lower().startswith(dataset)
    kinds = {"": "panoptic", "finetune": "panoptic", "instance": "instances"}
    kind = kinds.get(kind, kind)
    assert header["data"].endswith(kind if "m2f" in path.stem else "boxes")


def test_published_figures_are_those_of_the_tables():
    lines = [HEADER.fullmatch(path.read_text().splitlines()[0]) for path in CONFIGS]
    stated = [line for line in lines if line and line["figure"]]
    assert len(stated) > 40
    known = {(row.table, row.score) for row in PUBLISHED}
    for line in stated:
        if line["paper"] == "PRO-SCALE":
            assert (line["table"], float(line["figure"])) in known, line.string
        if line["table"] == "7" and line["paper"] == "ECO-M2F":
            assert float(line["figure"]) in {row.ap for row in PUBLISHED_DETR}
    best = max(row.pq for row in PUBLISHED if (row.dataset, row.backbone) == (COCO, "swin-t"))
    (ours,) = [line for line in stated if "(3,3,3), Swin-T, COCO panoptic" in line.string]
    assert float(ours["figure"]) == best
