"""mmseg's datasets of label maps: missing files, and maps whose values are not labels."""

import cv2
import numpy as np
import pytest
from helpers.few_bits import few_bits_png
from PIL import Image

from mmproscale.datasets.loading.label_maps import LoadLabelMap, SemanticDataset
from mmproscale.errors import InputError

CLASSES = ("road", "sky")


def write(root) -> np.ndarray:
    """Write one image of 4x6 and its map; return the labels."""
    labels = np.array([[0, 1, 255]], np.uint8).repeat(4, 0).repeat(2, 1)
    for folder in ("images", "maps"):
        (root / folder).mkdir(parents=True)
    cv2.imwrite(str(root / "images" / "a.jpg"), np.zeros((4, 6, 3), np.uint8))
    cv2.imwrite(str(root / "maps" / "a.png"), labels)
    return labels


def build(root, **changes):
    pipeline = [dict(type="mmproscale.LoadImage"), dict(type="mmproscale.LoadLabelMap")]
    config = dict(
        data_root=str(root),
        data_prefix=dict(img_path="images", seg_map_path="maps"),
        metainfo=dict(classes=CLASSES),
        pipeline=pipeline,
    )
    return SemanticDataset(**config | changes)


def test_labels_are_loaded(tmp_path):
    labels = write(tmp_path)
    item = build(tmp_path)[0]
    np.testing.assert_array_equal(item["gt_seg_map"], labels)
    assert item["num_classes"] == 2


def test_a_test_set_may_have_no_maps(tmp_path):
    write(tmp_path)
    prefix = dict(img_path="images")
    assert len(build(tmp_path, data_prefix=prefix, test_mode=True)) == 1
    with pytest.raises(InputError, match=r"data_prefix\.seg_map_path is not set"):
        build(tmp_path, data_prefix=prefix)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (dict(metainfo={}), r"metainfo\.classes is not set"),
        (dict(data_root="/nowhere", hint="make it"), "'/nowhere' does not exist.*, or make it"),
        (dict(data_prefix=dict(img_path="photos", seg_map_path="maps")), "photos' does not exist"),
        (dict(ann_file="train.txt"), "train.txt' does not exist"),
        (dict(img_suffix=".bmp"), "no image whose name ends in '.bmp'"),
        (dict(seg_map_suffix="_labels.png"), r"\[map-missing\] .*a_labels\.png"),
    ],
)
def test_missing_settings_and_files_are_named(tmp_path, changes, text):
    write(tmp_path)
    with pytest.raises(InputError, match=rf"\A.*{text}.*\Z"):
        build(tmp_path, **changes)


def save(path, values, dtype) -> None:
    Image.fromarray(np.asarray(values, dtype)).save(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lambda path: path.write_bytes(b""), "map-empty"),
        (lambda path: path.write_text("<html>"), "map-unreadable"),
        (lambda path: save(path, np.zeros((4, 6, 3)), np.uint8), "map-form"),
        (lambda path: save(path, np.zeros((4, 6)), np.uint16), "map-form"),
        (lambda path: save(path, np.zeros((4, 7)), np.uint8), "map-size"),
        (lambda path: save(path, np.full((4, 6), 2), np.uint8), "map-label"),
    ],
)
def test_a_broken_map_is_refused_by_name(tmp_path, spoil, kind):
    write(tmp_path)
    dataset = build(tmp_path)
    spoil(tmp_path / "maps" / "a.png")
    with pytest.raises(InputError, match=rf"\A\[{kind}\] .*a\.png.*\Z"):
        dataset[0]


def test_maps_may_have_a_palette(tmp_path):
    labels = write(tmp_path)
    image = Image.fromarray(labels)
    image.putpalette(list(range(256)) * 3)
    image.save(tmp_path / "maps" / "a.png")
    np.testing.assert_array_equal(build(tmp_path)[0]["gt_seg_map"], labels)


def test_an_image_without_a_map_is_named():
    with pytest.raises(InputError, match=r"'a\.jpg' has no label map"):
        LoadLabelMap()(dict(img_path="a.jpg", seg_map_path=None))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_labels_of_few_bits_are_those_of_the_file(tmp_path, bits):
    write(tmp_path)
    values = np.array([[0, 1, 1, 0, 1, 0]] * 4)
    (tmp_path / "maps/a.png").write_bytes(few_bits_png(values.tolist(), bits))
    assert build(tmp_path)[0]["gt_seg_map"].tolist() == values.tolist()


def test_zero_may_be_void_and_classes_may_be_others(tmp_path):
    labels = write(tmp_path)
    found = build(tmp_path, reduce_zero_label=True)[0]["gt_seg_map"]
    assert (found == np.where(labels == 1, 0, 255)).all()
    assert (build(tmp_path)[0]["gt_seg_map"] == labels).all()


def test_a_lossy_map_and_too_many_classes_are_refused(tmp_path):
    write(tmp_path)
    dataset = build(tmp_path)
    Image.new("L", (6, 4)).save(tmp_path / "maps/a.png", "JPEG")
    with pytest.raises(InputError, match=r"\[map-form\] .*JPEG changes the values"):
        dataset[0]
    names = [f"class {number}" for number in range(256)]
    with pytest.raises(InputError, match=r"metainfo\.classes has 256 names.* hold 255 classes"):
        build(tmp_path, metainfo=dict(classes=names))


def test_hidden_files_and_folders_are_no_images(tmp_path):
    write(tmp_path)
    (tmp_path / "images/.ipynb_checkpoints").mkdir()
    for name in ("._a.jpg", ".ipynb_checkpoints/a-checkpoint.jpg"):
        (tmp_path / "images" / name).write_bytes(b"Mac OS X")
    assert len(build(tmp_path)) == 1
