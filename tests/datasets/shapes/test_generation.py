"""Shapes on disk: deterministic, with agreeing annotations, replaced only on request."""

import json
import os

import cv2
import numpy as np
import pytest

from mmproscale.datasets.shapes.generation import CATEGORIES, ShapesSpec, make_shapes, scene_of
from mmproscale.datasets.shapes.scene import STUFF, THINGS
from mmproscale.errors import InputError

SMALL = ShapesSpec(train=3, val=2, size=64)


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


def test_an_image_depends_only_on_seed_split_and_index():
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


def test_category_ids_have_gaps_and_kinds_alternate():
    ids = [c["id"] for c in CATEGORIES]
    assert len(set(ids)) == 8 and sorted(ids) != list(range(min(ids), min(ids) + 8))
    assert [c["isthing"] for c in CATEGORIES] != sorted(c["isthing"] for c in CATEGORIES)[::-1]
    assert {c["name"] for c in CATEGORIES if c["isthing"]} == set(THINGS)
    assert {c["name"] for c in CATEGORIES if not c["isthing"]} == set(STUFF)


def test_an_equal_dataset_is_reused_and_another_is_kept(tmp_path):
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


def test_other_files_are_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"\A.*something other than Shapes.*\Z"):
        make_shapes(tmp_path, SMALL, overwrite=True)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_an_interrupted_run_leaves_nothing(tmp_path):
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
def test_values_out_of_range_are_refused(tmp_path, spec, part):
    with pytest.raises(InputError, match=part):
        make_shapes(tmp_path / "s", spec)
