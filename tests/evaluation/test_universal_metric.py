"""Figures of the universal metric, its options, and its errors."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_universal import predicted, write_universal
from mmdet.structures import DetDataSample

from mmproscale.datasets.formats.panoptic_png import encode_png, read_png
from mmproscale.errors import InputError
from mmproscale.evaluation import UniversalSegMetric

CATEGORIES = [
    {"id": 21, "name": "sky", "isthing": 0},
    {"id": 5, "name": "car", "isthing": 1},
    {"id": 9, "name": "road", "isthing": 0},
]
# Things first: car 0, sky 1, road 2, void 3.
NAMES = ("car", "sky", "road")


def halves(left: int, right: int) -> np.ndarray:
    """An 8x8 map of two values."""
    values = np.full((8, 8), left, dtype=np.int64)
    values[:, 4:] = right
    return values


def write_ground_truth(folder: Path, ids=(1, 2), categories=CATEGORIES) -> Path:
    """Images with a car (segment 70000) on the left and sky (segment 2) on the right."""
    import cv2

    (folder / "val").mkdir()
    bgr = np.zeros((8, 8, 3), np.uint8)
    bgr[:, :4] = (70000 >> 16, (70000 >> 8) & 255, 70000 & 255)
    bgr[:, 4:] = (0, 0, 2)
    annotations = []
    for image_id in ids:
        cv2.imwrite(str(folder / "val" / f"{image_id}.png"), bgr)
        segments = [
            {"id": 70000, "category_id": 5, "area": 32, "iscrowd": 0, "bbox": [0, 0, 4, 8]},
            {"id": 2, "category_id": 21, "area": 32, "iscrowd": 0, "bbox": [4, 0, 4, 8]},
        ]
        annotations.append(
            {"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": segments}
        )
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 8, "width": 8} for i in ids]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "val.json").write_text(json.dumps(content))
    return folder / "val.json"


def sample(image_id, sem_seg: np.ndarray, **extra) -> dict:
    return {
        "img_id": image_id,
        "pred_panoptic_seg": {"sem_seg": torch.from_numpy(sem_seg)[None], **extra},
    }


def evaluate(metric: UniversalSegMetric, samples: list[dict]) -> dict[str, float]:
    metric.dataset_meta = {"classes": NAMES}
    metric.process(None, samples)
    return metric.evaluate(len({sample["img_id"] for sample in samples}))


def test_labels_map_to_categories_things_first(tmp_path):
    metric = UniversalSegMetric(write_ground_truth(tmp_path))
    perfect = halves(0 + 1000, 1)
    figures = evaluate(metric, [sample(1, perfect), sample(2, perfect)])
    assert figures == {
        f"universal/{name}{group}": 100.0
        for name in ("PQ", "SQ", "RQ")
        for group in ("", "_th", "_st")
    }


def test_wrong_class_and_void(tmp_path):
    metric = UniversalSegMetric(write_ground_truth(tmp_path))
    # Image 1: road where the sky is. Image 2: void where the car is, by either void label.
    figures = evaluate(
        metric, [sample(1, halves(1000, 2)), sample(2, halves(255, 1), ignore_index=255)]
    )
    # car 1 TP 1 FN, sky 1 TP 1 FN, road 1 FP.
    assert figures["universal/PQ_th"] == pytest.approx(100 / 1.5)
    assert figures["universal/PQ_st"] == pytest.approx(100 / 1.5 / 2)


def test_a_subset_and_a_repeated_image(tmp_path):
    metric = UniversalSegMetric(write_ground_truth(tmp_path, ids=(1, 2, 3)))
    wrong, perfect = halves(3, 3), halves(1000, 1)
    # The third image is never predicted.
    figures = evaluate(metric, [sample(1, perfect), sample(2, wrong)])
    assert figures["universal/PQ"] == pytest.approx(100 / 1.5)
    with pytest.raises(InputError, match="image 1 has several results"):
        evaluate(metric, [sample(1, perfect), sample(2, wrong), sample(1, perfect)])


def test_label_zero_without_instance_is_no_void(tmp_path):
    stuff_only = [c for c in CATEGORIES if not c["isthing"]]
    ann_file = write_ground_truth(tmp_path, ids=(1,), categories=CATEGORIES)
    content = json.loads(ann_file.read_text())
    content["categories"] = stuff_only
    content["annotations"][0]["segments_info"][0]["category_id"] = 9
    ann_file.write_text(json.dumps(content))
    metric = UniversalSegMetric(ann_file)
    metric.dataset_meta = {"classes": ("sky", "road")}
    metric.process(None, [sample(1, halves(1, 0))])
    figures = metric.evaluate(1)
    assert figures["universal/PQ"] == figures["universal/PQ_st"] == 100
    assert math.isnan(figures["universal/PQ_th"])


def test_ids_that_are_names_and_kept_files(tmp_path):
    ann_file = write_ground_truth(tmp_path, ids=("aachen_0", "bonn_1"))
    metric = UniversalSegMetric(ann_file, outfile_prefix=str(tmp_path / "out" / "run"))
    perfect = halves(1000, 1)
    figures = evaluate(metric, [sample("aachen_0", perfect), sample("bonn_1", perfect)])
    assert figures["universal/PQ"] == 100
    kept = json.loads((tmp_path / "out" / "run.panoptic.json").read_text())
    assert [a["image_id"] for a in kept["annotations"]] == ["aachen_0", "bonn_1"]
    segments = {s["category_id"]: s for s in kept["annotations"][0]["segments_info"]}
    id_map = read_png(tmp_path / "out" / "run.panoptic" / kept["annotations"][0]["file_name"])
    assert (id_map[:, :4] == segments[5]["id"]).all()
    assert (id_map[:, 4:] == segments[21]["id"]).all()
    assert segments[21] | {"id": 0, "label": 1} == {
        **{"id": 0, "label": 1, "category_id": 21, "isthing": 0, "iscrowd": 0},
        **{"area": 32, "bbox": [4, 0, 4, 8]},
    }


def test_table_names_every_class(tmp_path, monkeypatch):
    lines = []
    metric = UniversalSegMetric(write_ground_truth(tmp_path), classwise=True)
    from mmengine.logging import MMLogger

    monkeypatch.setattr(MMLogger, "info", lambda self, text: lines.append(text))
    evaluate(metric, [sample(1, halves(1000, 1))])
    text = "\n".join(lines)
    assert "1 of the 2 images" in text
    assert [name in text for name in ("car (things)", "sky (stuff)", "road (stuff)")] == [True] * 3
    assert "100.00" in text


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ([sample(7, halves(1000, 1))], "image 7 is predicted but not annotated"),
        ([sample(1, halves(1000, 1)[:4])], "prediction for 1.jpg is 4x8"),
        ([sample(1, halves(1000, 17))], "label 17 but the data has 3 classes"),
        ([{"img_id": 1}], "panoptic_on=True"),
    ],
)
def test_bad_predictions(tmp_path, samples, says):
    metric = UniversalSegMetric(write_ground_truth(tmp_path))
    with pytest.raises(InputError, match=says):
        evaluate(metric, samples)


def test_bad_ground_truth(tmp_path):
    ann_file = write_ground_truth(tmp_path)
    with pytest.raises(InputError, match=r"absent.json' does not exist"):
        UniversalSegMetric(tmp_path / "absent.json")
    with pytest.raises(InputError, match=r"seg_prefix .*nowhere is not a folder"):
        UniversalSegMetric(ann_file, tmp_path / "nowhere")
    (tmp_path / "other.json").write_text('{"images": []}')
    with pytest.raises(InputError, match=r"other.json': 'annotations' is missing or not a list"):
        UniversalSegMetric(tmp_path / "other.json")
    metric = UniversalSegMetric(ann_file)
    metric.dataset_meta = {"classes": ("car", "sky")}
    with pytest.raises(InputError, match=r"classes of the dataset \(2\) and of .* \(3\) differ"):
        metric.process(None, [sample(1, halves(1000, 1))])
    shutil.move(tmp_path / "val" / "1.png", tmp_path / "1.png")
    with pytest.raises(InputError, match=r"1\.png"):
        evaluate(UniversalSegMetric(ann_file), [sample(1, halves(1000, 1))])


ALL = ("panoptic", "semantic", "instance")


@pytest.fixture(scope="module")
def universal(tmp_path_factory) -> Path:
    return write_universal(tmp_path_factory.mktemp("universal"), 6)


@pytest.mark.parametrize("kinds", [(kind,) for kind in ALL] + [ALL[:2], ALL[1:], ALL])
def test_any_subset_gives_the_figures_of_all(universal, kinds):
    def figures_of(names):
        metric = UniversalSegMetric(universal, kinds=names, prefix="mine")
        metric.process(None, [predicted(number) for number in range(6)])
        return metric.evaluate(6)

    everything, figures = figures_of(ALL), figures_of(kinds)
    assert len(everything) == 9 + 1 + 6
    assert len(figures) == sum({"panoptic": 9, "semantic": 1, "instance": 6}[k] for k in kinds)
    np.testing.assert_equal({k: v for k, v in everything.items() if k in figures}, figures)


def test_figures_of_each_image(universal, tmp_path):
    prefix = str(tmp_path / "run")
    metric = UniversalSegMetric(universal, per_image=True, outfile_prefix=prefix)
    metric.process(None, [predicted(number) for number in range(6)])
    metric.evaluate(6)
    written = json.loads((tmp_path / "run.per_image.json").read_text())
    assert written.keys() == {str(number) for number in range(6)}
    single = UniversalSegMetric(universal)
    single.process(None, [predicted(3)])
    single.evaluate(1)
    assert {k: written["3"][k] for k in ("pq", "sq", "rq", "n")} == single.report["all"]


def test_the_loaders_images_must_come_back(universal):
    metric = UniversalSegMetric(universal)
    samples = [predicted(0), predicted(1)]
    batch = {"data_samples": [DetDataSample(metainfo={"img_id": n}) for n in (0, 1)]}
    metric.process(batch, samples)
    with pytest.raises(InputError, match="image 1 has 0 results"):
        metric.process(batch, samples[:1])
    views = {"data_samples": [batch["data_samples"]] * 2}  # of test-time augmentation
    metric.process(views, samples)
    with pytest.raises(InputError, match="image 1 has 0 results"):
        metric.process(views, samples[:1])


def test_bad_options(universal):
    for kinds in (["pq"], "panoptic", []):
        with pytest.raises(InputError, match="expected a list of some of panoptic, semantic"):
            UniversalSegMetric(universal, kinds=kinds)
    with pytest.raises(InputError, match="need 'panoptic' among kinds"):
        UniversalSegMetric(universal, kinds=["semantic"], per_image=True)
    with pytest.raises(InputError, match="add 'instance' to kinds"):
        UniversalSegMetric(universal, instances_file="instances.json")


def test_ground_truth_that_contradicts_itself(tmp_path):
    ann_file = write_ground_truth(tmp_path, ids=(1,))
    original = ann_file.read_text()

    def refused(change, says):
        content = json.loads(original)
        change(content)
        ann_file.write_text(json.dumps(content))
        with pytest.raises(InputError, match=says):
            evaluate(UniversalSegMetric(ann_file), [sample(1, halves(1000, 1))])

    segments = "annotations", 0, "segments_info", 0
    refused(lambda c: dig(c, *segments).update(category_id=77), "category_id 77. is not in")
    refused(lambda c: dig(c, *segments).pop("area"), r"segments_info\[0\].area is missing")
    refused(lambda c: c["annotations"].append(c["annotations"][0]), "two annotations of one image")
    refused(lambda c: c["annotations"][0].update(image_id=5), "no image has this id")
    shorter = np.zeros((4, 8), np.int64)
    (tmp_path / "val" / "1.png").write_bytes(encode_png(shorter))
    refused(lambda c: None, r"panoptic PNG .*1.png is 4x8 but the prediction is 8x8")


def dig(content, *keys):
    for key in keys:
        content = content[key]
    return content
