"""Shapes: deterministic, within its stated bounds, and not to be told apart by colour alone."""

import json
import os
from collections import defaultdict

import cv2
import numpy as np
import pytest

from mmproscale.datasets.shapes.scene import color_of, outline
from mmproscale.datasets.shapes.shapes import (
    CATEGORIES,
    STUFF,
    THINGS,
    ShapesSpec,
    make_shapes,
    scene_of,
)
from mmproscale.errors import InputError

SMALL = ShapesSpec(train=3, val=2, size=64)


@pytest.fixture(scope="module")
def scenes():
    return [scene_of(ShapesSpec(), "train", index) for index in range(150)]


def contents(root) -> dict:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_layout_and_determinism(tmp_path):
    assert make_shapes(tmp_path / "a", SMALL)
    assert make_shapes(tmp_path / "b", SMALL)
    first = contents(tmp_path / "a")
    assert first == contents(tmp_path / "b")
    assert set(first) == {
        *(f"train/{i:06d}.jpg" for i in range(3)),
        *(f"val/{i:06d}.jpg" for i in range(2)),
        *(f"annotations/panoptic_train/{i:06d}.png" for i in range(3)),
        *(f"annotations/panoptic_val/{i:06d}.png" for i in range(2)),
        "annotations/panoptic_train.json",
        "annotations/panoptic_val.json",
    }
    assert len(set(os.listdir(tmp_path))) == 2, "temporary folders are left behind"


def test_an_image_depends_on_seed_split_and_index_alone():
    a = scene_of(ShapesSpec(train=10), "train", 4)
    b = scene_of(ShapesSpec(train=900, val=1), "train", 4)
    assert (a.image == b.image).all() and (a.ids == b.ids).all()
    others = [
        scene_of(ShapesSpec(seed=1), "train", 4),
        scene_of(ShapesSpec(), "val", 4),
        scene_of(ShapesSpec(), "train", 5),
    ]
    assert all((a.image != other.image).any() for other in others)


def test_annotations_agree_with_the_pngs(tmp_path):
    make_shapes(tmp_path / "s", ShapesSpec(train=30, val=1))
    folder = tmp_path / "s" / "annotations"
    content = json.loads((folder / "panoptic_train.json").read_text())
    known = {c["id"] for c in content["categories"]}
    for annotation in content["annotations"]:
        image = cv2.imread(str(folder / "panoptic_train" / annotation["file_name"]))
        b, g, r = np.moveaxis(image.astype(int), -1, 0)
        ids = r + 256 * g + 65536 * b
        infos = annotation["segments_info"]
        assert set(np.unique(ids)) - {0} == {s["id"] for s in infos}
        for segment in infos:
            rows, columns = np.nonzero(ids == segment["id"])
            x, y, w, h = segment["bbox"]
            assert segment["area"] == len(rows) and segment["category_id"] in known
            assert (x, y) == (columns.min(), rows.min())
            assert (x + w - 1, y + h - 1) == (columns.max(), rows.max())


def test_categories_exercise_the_mapping():
    ids = [c["id"] for c in CATEGORIES]
    assert len(set(ids)) == 8 and sorted(ids) != list(range(min(ids), min(ids) + 8))
    assert [c["isthing"] for c in CATEGORIES] != sorted(c["isthing"] for c in CATEGORIES)[::-1]
    assert {c["name"] for c in CATEGORIES if c["isthing"]} == set(THINGS)
    assert {c["name"] for c in CATEGORIES if not c["isthing"]} == set(STUFF)


def test_objects_are_two_to_six_and_within_bounds(scenes):
    overlaps = 0
    for scene in scenes:
        objects = [s for s in scene.segments if s.category in THINGS and not s.is_crowd]
        assert 2 <= len(objects) <= 6
        assert all(0.06 * scene.size <= s.side <= 0.45 * scene.size for s in objects)
        for segment in objects:
            rows, columns = np.nonzero(scene.ids == segment.index)
            assert max(np.ptp(rows), np.ptp(columns)) + 1 <= segment.side
            overlaps += max(np.ptp(rows), np.ptp(columns)) + 1 < segment.side
    sides = [s.side for scene in scenes for s in scene.segments if s.side]
    assert min(sides) <= 12 and max(sides) >= 54
    assert overlaps > 20, "nothing hides anything"


@pytest.mark.parametrize("size", [64, 200])
def test_bounds_hold_at_other_sizes(size):
    for index in range(40):
        scene = scene_of(ShapesSpec(size=size), "val", index)
        sides = [s.side for s in scene.segments if s.side]
        assert all(0.06 * size <= side <= 0.45 * size for side in sides)


def test_stuff_regions_crowds_and_void_are_there(scenes):
    kinds = [[s.category for s in scene.segments if s.category in STUFF] for scene in scenes]
    assert all(1 <= len(k) <= 3 and len(k) == len(set(k)) for k in kinds)
    assert {len(k) for k in kinds} == {1, 2, 3}
    crowds = [s for scene in scenes for s in scene.segments if s.is_crowd]
    assert 10 <= len(crowds) <= 40 and {s.category for s in crowds} == set(THINGS)
    assert 20 <= sum((scene.ids == 0).any() for scene in scenes) <= 75


def test_two_things_and_two_stuffs_share_every_hue(scenes):
    """Colour alone leaves two classes of a kind open, whatever the hue; so do light and dark."""
    rng = np.random.default_rng(0)
    for group in (THINGS, STUFF):
        hues = {name: set() for name in group}
        for name in group:
            colors = np.array([[color_of(rng, name) for _ in range(1000)]], np.float32) / 255
            hues[name] = set((cv2.cvtColor(colors, cv2.COLOR_BGR2HSV)[0, :, 0] // 30).astype(int))
        shared = [sum(hue in found for found in hues.values()) for hue in range(12)]
        assert min(shared) == 2 and max(shared) <= 2
    brightness = defaultdict(list)
    for scene in scenes:
        for segment in scene.segments:
            pixels = scene.image[scene.ids == segment.index]
            brightness[segment.category].append(pixels.max(1).mean())
    for group in (THINGS, STUFF):
        means = [np.mean(brightness[name]) for name in group]
        assert np.ptp(means) < 0.7 * np.mean([np.std(brightness[name]) for name in group])


def test_outlines_differ_by_shape_alone():
    center = np.array([64.0, 64.0])
    areas = {kind: outline(kind, center, 60, 0, 128).sum() for kind in THINGS}
    assert 0.75 < areas["disc"] / 3600 < 0.82
    assert areas["star"] < areas["triangle"] * 1.2 < areas["disc"]
    for kind in THINGS:
        rows, columns = np.nonzero(outline(kind, center, 60, 33, 128))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (59, 60, 61)


def test_the_same_is_reused_and_another_is_refused(tmp_path):
    root = tmp_path / "s"
    assert make_shapes(root, SMALL)
    assert not make_shapes(root, SMALL)
    other = ShapesSpec(train=3, val=2, size=64, seed=5)
    before = contents(root)
    with pytest.raises(InputError, match=r"\A.*seed=0, not seed=5.*--overwrite.*\Z"):
        make_shapes(root, other)
    assert contents(root) == before
    assert make_shapes(root, other, overwrite=True)
    assert contents(root) != before and os.listdir(tmp_path) == ["s"]


def test_anything_else_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"\A.*something other than Shapes.*\Z"):
        make_shapes(tmp_path, SMALL, overwrite=True)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_stopped_half_way_leaves_nothing(tmp_path):
    def stop(split: str, done: int, total: int) -> None:
        if split == "val":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_shapes(tmp_path / "s", SMALL, progress=stop)
    assert os.listdir(tmp_path) == []


def test_progress_counts_every_image(tmp_path):
    seen = []
    make_shapes(tmp_path / "s", SMALL, progress=lambda *state: seen.append(state))
    assert seen == [*(("train", i, 3) for i in (1, 2, 3)), *(("val", i, 2) for i in (1, 2))]


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"\A.*file.*\Z"):
        make_shapes(tmp_path / "file" / "shapes", SMALL)


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        (ShapesSpec(train=0), "train=0"),
        (ShapesSpec(size=20), "size=20"),
        (ShapesSpec(seed=-1), "seed=-1"),
    ],
)
def test_impossible_specs(tmp_path, spec, part):
    with pytest.raises(InputError, match=part):
        make_shapes(tmp_path / "s", spec)
