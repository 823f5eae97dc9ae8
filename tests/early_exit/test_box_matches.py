"""AP of boxes from stored matches: pycocotools' own, for images, datasets and choices of exits."""

import io
import json
from contextlib import redirect_stdout
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmproscale.early_exit.box_quality import BoxImageQuality, stack
from mmproscale.errors import InputError

IMAGES, EXITS, IDS = 24, 3, (3, 7, 20, 21)
CROWD_IMAGE, EMPTY_IMAGE = 4, 5


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """An annotation file: up to six boxes an image, one image of a crowd and a box, one of none."""
    random = np.random.default_rng(0)
    annotations = []
    for image in range(IMAGES):
        for _ in range(0 if image == EMPTY_IMAGE else random.integers(1, 7)):
            x, y, w, h = random.uniform((0, 0, 8, 8), (60, 60, 40, 40)).tolist()
            # The last class is never there.
            one = dict(category_id=int(random.choice(IDS[:-1])), bbox=[x, y, w, h], area=w * h)
            annotations.append(one | dict(id=len(annotations) + 1, image_id=image, iscrowd=0))
        if image == CROWD_IMAGE:
            annotations[-1]["iscrowd"] = 1
    content = dict(
        images=[dict(id=i, file_name=f"{i}.jpg", height=100, width=100) for i in range(IMAGES)],
        annotations=annotations,
        categories=[dict(id=i, name=f"class {i}") for i in IDS],
    )
    path = tmp_path_factory.mktemp("truth") / "instances.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def dataset(truth):
    names = tuple(f"class {i}" for i in IDS)
    return CocoDataset(
        ann_file=str(truth),
        data_prefix=dict(img=""),
        metainfo=dict(classes=names),
        pipeline=[],
    )


@pytest.fixture(scope="module")
def found(truth):
    """Results of each image at each exit: moved boxes of the truth, some of them twice, and noise.

    Scores are coarse, so that many are equal.
    """
    random = np.random.default_rng(1)
    content = json.loads(truth.read_text())
    results = []
    for image in range(IMAGES):
        boxes = [a for a in content["annotations"] if a["image_id"] == image]
        results.append([_result(image, boxes, 2 + 4 * exit_, random) for exit_ in range(EXITS)])
    return results


def _result(image, boxes, spread, random):
    rows = []
    for box in boxes * 2:
        x, y, w, h = np.array(box["bbox"]) + random.normal(0, spread / 2, 4)
        label = IDS.index(box["category_id"]) if random.random() < 0.9 else 3
        rows.append((label, x, y, x + abs(w), y + abs(h)))
    for _ in range(6):
        x, y, w, h = random.uniform(5, 50, 4)
        rows.append((random.integers(4), x, y, x + w, y + h))
    rows = np.array(rows)
    instances = dict(
        labels=torch.from_numpy(rows[:, 0].astype(int)),
        bboxes=torch.from_numpy(rows[:, 1:].astype(np.float32)),
        scores=torch.from_numpy(random.integers(1, 40, len(rows)).astype(np.float32) / 40),
    )
    return dict(img_id=image, pred_instances=instances)


@pytest.fixture(scope="module")
def matches(dataset, found):
    judge = BoxImageQuality(dataset)
    kept = [[judge.measure(sample)[1] for sample in of_exits] for of_exits in found]
    return stack(kept, len(IDS), range(10))


def by_coco(truth, samples, images=None):
    """AP and AP50 of some results by pycocotools."""
    detections = [
        dict(image_id=sample["img_id"], category_id=IDS[label], score=score, bbox=box)
        for sample in samples
        for label, score, box in zip(
            sample["pred_instances"]["labels"].tolist(),
            sample["pred_instances"]["scores"].tolist(),
            (
                [x, y, x2 - x, y2 - y]
                for x, y, x2, y2 in sample["pred_instances"]["bboxes"].tolist()
            ),
            strict=True,
        )
    ]
    with redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        evaluation = COCOeval(coco, coco.loadRes(detections), "bbox")
        evaluation.params.imgIds = list(range(IMAGES)) if images is None else images
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    return evaluation.stats[:2]


def test_an_images_quality_is_cocos_ap_of_it_alone(truth, dataset, found):
    judges = [BoxImageQuality(dataset), BoxImageQuality(dataset, (0,))]
    values = set()
    for image, of_exits in enumerate(found):
        for sample in of_exits:
            measured = [judge.measure(sample)[0] for judge in judges]
            if image == EMPTY_IMAGE:
                assert np.isnan(measured).all(), "nothing was to be found"
                continue
            np.testing.assert_allclose(measured, by_coco(truth, [sample], [image]), atol=1e-12)
            values.add(round(measured[0], 6))
    assert len(values) > 30, "a test of nothing"


def test_ap_of_any_choice_of_exits_is_cocos(truth, matches, found):
    random = np.random.default_rng(2)
    for choice in ([0], [2], *random.integers(EXITS, size=(6, IMAGES))):
        choice = np.broadcast_to(choice, IMAGES)
        expected = by_coco(truth, [found[i][choice[i]] for i in range(IMAGES)])
        assert matches.quality(choice) == pytest.approx(expected[0], abs=1e-12)
    assert 0.05 < expected[0] < 0.95


def test_some_images_have_the_ap_of_those_alone(truth, matches, found):
    some = np.array([3, 4, 9, 10, 20])
    choice = np.array([2, 0, 1, 1, 0])
    expected = by_coco(
        truth, [found[i][e] for i, e in zip(some, choice, strict=True)], some.tolist()
    )
    assert matches.take(some).quality(choice) == pytest.approx(expected[0], abs=1e-12)


def test_a_resample_is_the_dataset_of_its_images(matches):
    random = np.random.default_rng(3)
    weights = random.multinomial(IMAGES, [1 / IMAGES] * IMAGES, size=4)
    choice = random.integers(EXITS, size=IMAGES)
    whole = matches.qualities(choice, weights)
    for weight, value in zip(weights, whole, strict=True):
        kept = np.flatnonzero(weight)
        once = np.where(weight[kept] > 0, 1, 0)[None]
        assert matches.take(kept).qualities(choice[kept], weight[kept][None])[0] == pytest.approx(
            value
        )
        assert matches.take(kept).qualities(choice[kept], once)[0] != pytest.approx(value)
    doubled = matches.qualities(choice, np.full((1, IMAGES), 2))
    assert doubled[0] == pytest.approx(matches.quality(choice), abs=0.02)


def test_no_truth_and_no_detections(dataset):
    judge = BoxImageQuality(dataset)
    nothing = dict(labels=torch.zeros(0).long(), bboxes=torch.zeros(0, 4), scores=torch.zeros(0))
    quality, matches = judge.measure(dict(img_id=0, pred_instances=nothing))
    assert quality == 0 and len(matches.truths) > 0
    quality, matches = judge.measure(dict(img_id=EMPTY_IMAGE, pred_instances=nothing))
    assert np.isnan(quality) and len(matches.truths) == len(matches.labels) == 0


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (dict(img_id=99, pred_instances={}), "image 99 is not in the training set's"),
        (dict(img_id=0), "the model gives no boxes for image 0"),
        (
            dict(
                img_id=0,
                pred_instances=dict(
                    labels=torch.tensor([4]), bboxes=torch.ones(1, 4), scores=torch.ones(1)
                ),
            ),
            "a box has label 4 but the data has 4 classes",
        ),
    ],
)
def test_what_cannot_be_measured(dataset, sample, message):
    with pytest.raises(InputError, match=message):
        BoxImageQuality(dataset).measure(sample)


def test_a_dataset_without_boxes():
    with pytest.raises(InputError, match="quality ap needs boxes in COCO's format"):
        BoxImageQuality(SimpleNamespace(ann_file=""))
