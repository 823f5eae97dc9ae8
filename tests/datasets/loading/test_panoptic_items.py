"""Items made of arrays are those made of the JSON's objects, whichever are selected."""

import pickle

import numpy as np
import pytest
from helpers.tiny_panoptic import build, write_json, write_tiny

from mmproscale.datasets.loading import panoptic_dataset
from mmproscale.datasets.loading.panoptic_dataset import PanopticDataset
from mmproscale.datasets.loading.panoptic_items import PanopticItems

SEGMENTS = [[(1, 7, 0), (70000, 3, 0)], [], [(5, 9, 0), (6, 3, 1), (7, 3, 0)], [(2, 7, 0)]]


@pytest.fixture
def root(tmp_path):
    """Four annotated images, one of them without segments, and one without an annotation."""
    content = write_tiny(tmp_path, SEGMENTS)
    image = dict(content["images"][0], id=77, file_name="without.jpg")
    (tmp_path / "images" / "without.jpg").write_bytes(b"")
    content["images"] = [content["images"][3], image, *content["images"][:3]]
    content["images"][2]["width"] = 8
    write_json(tmp_path, content)
    return tmp_path


def both(root, monkeypatch, **changes):
    """Return the dataset from arrays, and the one from objects."""
    from_arrays = build(root, pipeline=[], **changes)
    monkeypatch.setattr(panoptic_dataset, "read_panoptic_columns", lambda *_: None)
    from_objects = build(root, pipeline=[], **changes)
    assert isinstance(from_arrays.data_list, PanopticItems)
    assert not isinstance(from_objects.data_list, PanopticItems)
    return from_arrays, from_objects


@pytest.mark.parametrize(
    ("changes", "images"),
    [
        (dict(test_mode=True), [3, 77, 0, 1, 2]),
        (dict(test_mode=True, data_prefix=dict(img="images/")), [3, 77, 0, 1, 2]),
        (dict(filter_cfg=None), [3, 0, 1, 2]),
        (dict(), [3, 0, 2]),
        (dict(filter_cfg=dict(min_size=4)), [3, 0, 1, 2]),
        (dict(return_classes=True), [3, 0, 2]),
        (dict(indices=2), [3, 0]),
        (dict(indices=-1), [2]),
        (dict(indices=[2, 0]), [2, 3]),
        (dict(serialize_data=False), [3, 0, 2]),
    ],
)
def test_items_are_those_of_the_files_objects(root, monkeypatch, changes, images):
    found, expected = both(root, monkeypatch, **changes)
    assert len(found) == len(expected) == len(images)
    assert [item["img_id"] for item in found] == images
    for index in range(len(images)):
        assert found.get_data_info(index) == expected.get_data_info(index)
    assert found.metainfo == expected.metainfo and found.cat2label == expected.cat2label


def test_subsets_and_copies(root, monkeypatch):
    found, expected = both(root, monkeypatch)
    for indices in (1, [2, 1]):
        assert list(found.get_subset(indices)) == list(expected.get_subset(indices))
    assert list(pickle.loads(pickle.dumps(found))) == list(expected)
    found.get_subset_([0])
    assert [item["img_id"] for item in found] == [3] and len(found) == 1


def test_changing_an_item_changes_no_other(root):
    dataset = build(root, pipeline=[])
    dataset[0]["segments_info"].clear()
    assert dataset[0]["segments_info"]


def test_a_subclass_with_items_of_its_own_reads_objects(root):
    class WithLicense(PanopticDataset):
        def parse_data_info(self, raw_data_info):
            license_ = raw_data_info["image"].get("license")
            return super().parse_data_info(raw_data_info) | dict(license=license_)

    prefix = dict(img="images/", seg="pngs/")
    dataset = WithLicense(ann_file="panoptic.json", data_root=str(root), data_prefix=prefix)
    assert dataset[0]["license"] is None
    assert not isinstance(dataset.data_list, PanopticItems)


def test_arrays_stay_as_they_are_when_items_are_read(root):
    """Workers share memory as long as nothing writes into it."""
    dataset = build(root, pipeline=[])
    columns = vars(dataset.data_list.columns)
    arrays = [value for value in columns.values() if isinstance(value, np.ndarray)]
    assert len(arrays) == 9
    for array in arrays:
        array.flags.writeable = False
    assert len(list(dataset)) == 3
