"""tools/report.py: a page of files, and one line for what is wrong."""

from pathlib import Path

import pytest
from PIL import Image

from mmproscale.evaluation.ground_truth import PanopticGroundTruth

REFERENCE = Path(__file__).resolve().parents[1] / "evaluation" / "reference"


@pytest.fixture
def photos(tmp_path) -> Path:
    truth = PanopticGroundTruth(REFERENCE / "gt.json")
    for image_id in truth.annotations:
        path = tmp_path / "photos" / truth.images[image_id]["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", truth.shape_of(image_id)[::-1]).save(path)
    return tmp_path / "photos"


def test_two_models_from_files(run_tool, photos, tmp_path):
    page = tmp_path / "report.html"
    files = "--predictions", REFERENCE / "pred.json", "--truth", REFERENCE / "gt.json"
    against = "--against", REFERENCE / "pred.json", "--images", photos
    status, output, error = run_tool("report.py", *files, *against, "--out", page)
    assert status == 0, error
    assert f"written to {page}" in output
    assert page.read_text().count('"groups"') == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give [CONFIG] CHECKPOINT, or --predictions"),
        (["a", "b", "c"], "give [CONFIG] CHECKPOINT, or --predictions"),
        (["--predictions", "p.json"], "--predictions needs --truth GT.json and --images DIR"),
        (["m2f_r18_shapes", "nowhere.pth"], "nowhere.pth"),
    ],
)
def test_wrong_options_are_one_line(run_tool, options, message):
    status, _, error = run_tool("report.py", *options)
    assert status and message in error and len(error.strip().splitlines()) == 1
