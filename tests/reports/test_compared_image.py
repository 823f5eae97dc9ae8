"""Images of an evaluation, compared from files and from a model."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmproscale.errors import InputError
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.panoptic_quality import panoptic_quality
from mmproscale.evaluation.stored_predictions import PanopticResults, score_results
from mmproscale.reports.compared_image import compared_images, from_files, from_model

REFERENCE = Path(__file__).resolve().parents[1] / "evaluation" / "reference"


@pytest.fixture
def truth():
    return PanopticGroundTruth(REFERENCE / "gt.json")


@pytest.fixture
def photos(tmp_path, truth) -> Path:
    for image_id in truth.annotations:
        path = tmp_path / truth.images[image_id]["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        height, width = truth.shape_of(image_id)
        Image.new("RGB", (width, height)).save(path)
    return tmp_path


def test_counts_of_files_are_those_of_the_evaluation(truth, photos):
    results = PanopticResults(REFERENCE / "pred.json", None, truth)
    images = list(compared_images(truth, [from_files(results)], photos))
    counts = np.sum([image.predictions[0].counts for image in images], axis=0)
    expected = score_results(results)
    assert panoptic_quality(counts, truth.categories)["all"] == expected["all"]
    assert len(images) == expected["images"]


def test_a_model_is_compared_by_names_of_classes(truth, photos):
    results = PanopticResults(REFERENCE / "pred.json", None, truth)
    name_of = {label: category["name"] for label, category in enumerate(truth.categories)}

    def predict(images):
        (photo,) = (image.path for image in images)
        image_id = next(
            i for i in truth.annotations if photos / truth.images[i]["file_name"] == photo
        )
        id_map, segments, _ = results.read_segments(image_id)
        pairs = zip(segments.ids.tolist(), segments.labels.tolist(), strict=True)
        found = [SimpleNamespace(id=i, name=name_of[label], score=0.5) for i, label in pairs]
        return [SimpleNamespace(panoptic=id_map, segments=found)]

    model = SimpleNamespace(predict=predict, classes=list(name_of.values())[::-1])
    of_model, of_files = (
        list(compared_images(truth, [source], photos))
        for source in (from_model(model, truth), from_files(results))
    )
    for one, other in zip(of_model, of_files, strict=True):
        assert np.array_equal(one.predictions[0].counts, other.predictions[0].counts)
        assert set(one.predictions[0].scores) <= {0.5}
    model.classes = ["unicorn", *model.classes]
    with pytest.raises(InputError, match="has no class 'unicorn'"):
        from_model(model, truth)


def test_some_images_are_spread_evenly(truth, photos):
    names = [Path(image["file_name"]).name for image in truth.images.values()]
    some = [image.name for image in compared_images(truth, [], photos, most=2)]
    assert some == [names[0], names[len(names) // 2]]
    assert len(list(compared_images(truth, [], photos, most=999))) == len(names)


def test_missing_photographs_are_counted(truth, photos):
    first = next(iter(truth.annotations))
    (photos / truth.images[first]["file_name"]).unlink()
    with pytest.raises(
        InputError, match=rf"is missing \(1 of {len(truth.annotations)} photographs"
    ):
        next(compared_images(truth, [], photos))
