"""PQ, SQ, RQ against figures from panopticapi."""

import json
import math
from pathlib import Path

import pytest

from mmproscale.datasets.panoptic_files import order_categories
from mmproscale.errors import InputError
from mmproscale.evaluation.panoptic_quality import (
    GROUPS,
    named_percentages,
    panoptic_quality,
    quality_table,
)

STORED = Path(__file__).parent / "reference"


def stored() -> tuple[Path, dict]:
    """A folder of both sides, synthetic, and panopticapi's figures for it."""
    return STORED, json.loads((STORED / "expected.json").read_text())


def coco_samples(shared: Path) -> tuple[Path, dict]:
    """The same for two real images."""
    oracle = json.loads((shared / "goldens" / "pq_oracle.json").read_text())
    return shared / "goldens" / "pq" / "coco_samples", oracle["sets"]["coco_samples"]


def score(folder: Path, **replace: Path) -> dict:
    paths = {
        "gt_json": folder / "gt.json",
        "gt_folder": folder / "gt",
        "pred_json": folder / "pred.json",
        "pred_folder": folder / "pred",
    }
    return panoptic_quality(**(paths | replace))


def test_equals_panopticapi_on_synthetic_pairs():
    check_equal(*stored())


def test_equals_panopticapi_on_real_images(shared):
    check_equal(*coco_samples(shared))


def check_equal(folder: Path, expected: dict) -> None:
    quality = score(folder)
    for group in GROUPS:
        for key in ("pq", "sq", "rq", "n"):
            assert quality[group][key] == pytest.approx(expected[group][key], abs=1e-6)
    for category_id, totals in expected["totals"].items():
        ours = quality["per_class"][int(category_id)]
        assert {k: ours[k] for k in ("tp", "fp", "fn")} == {
            k: totals[k] for k in ("tp", "fp", "fn")
        }
        for key in ("pq", "sq", "rq"):
            per_class = expected["per_class"][category_id][key]
            assert ours[key] == pytest.approx(per_class, abs=1e-6)


def test_names_and_table_of_unseen_classes():
    folder, _ = stored()
    quality = score(folder)
    unseen = {"pq": math.nan, "sq": math.nan, "rq": math.nan, "n": 0}
    assert len(named_percentages(quality)) == 9
    content = json.loads((folder / "gt.json").read_text())
    categories = order_categories(content["categories"], "gt.json")
    table = quality_table(quality | {"Things": unseen}, categories)
    assert "Things (0 classes)" in table and "nan" not in table
    seen_nowhere = next(line for line in table.splitlines() if "c200" in line)
    assert seen_nowhere.count(" - ") == 3


def test_missing_prediction_is_an_error(tmp_path):
    folder, _ = stored()
    content = json.loads((folder / "pred.json").read_text())
    content["annotations"].pop(0)
    (tmp_path / "pred.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="no prediction for the image with id 0"):
        score(folder, pred_json=tmp_path / "pred.json")
