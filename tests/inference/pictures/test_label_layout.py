"""Labels of a panoptic picture: their texts and their places."""

import numpy as np

from mmproscale.inference.pictures.label_layout import label_texts, place_labels

CATEGORIES = [
    {"id": 5, "name": "car", "isthing": 1, "color": [200, 40, 40]},
    {"id": 21, "name": "sky", "isthing": 0},
]
SEGMENTS = [
    {"id": 70000, "category_id": 5},
    {"id": 3, "category_id": 5},
    {"id": 9, "category_id": 21},
]


def test_texts_number_instances_and_name_crowds():
    segments = [*SEGMENTS, {"id": 4, "category_id": 5, "iscrowd": 1}]
    assert label_texts(segments, CATEGORIES) == {
        70000: "car 1",
        3: "car 2",
        4: "car 3 (crowd)",
        9: "sky",
    }
    assert label_texts(SEGMENTS[1:], CATEGORIES)[3] == "car"


def test_labels_lie_in_their_segments_and_apart():
    rng = np.random.default_rng(0)
    ids = np.kron(rng.integers(1, 9, (8, 10)), np.ones((60, 60), np.int64))
    segments = [{"id": i, "category_id": 5} for i in range(1, 9)]
    texts = {i: f"car {i}" for i in range(1, 9)}
    placed = place_labels(ids, segments, texts, lambda text: (50, 20))
    assert len(placed) == 8
    for index, label in enumerate(placed):
        left, top, right, bottom = label.box
        assert (right - left, bottom - top) == (50, 20)
        assert ids[(top + bottom) // 2, (left + right) // 2] == label.segment_id
        for other in placed[:index]:
            a, b, c, d = other.box
            assert right <= a or c <= left or bottom <= b or d <= top


def test_no_label_where_there_is_no_room():
    ids = np.full((480, 640), 1)
    ids[100:103, 100:103] = 2
    segments = [{"id": 1, "category_id": 21}, {"id": 2, "category_id": 5}, {"id": 7}]
    placed = place_labels(ids, segments, {1: "sky", 2: "car", 7: "gone"}, lambda text: (60, 20))
    assert [label.segment_id for label in placed] == [1]


def test_a_label_at_the_edge_is_moved_inside_the_picture():
    ids = np.ones((100, 200), np.int64)
    (label,) = place_labels(ids, [{"id": 1}], {1: "sky"}, lambda text: (190, 30))
    left, top, right, bottom = label.box
    assert left >= 0 and right <= 200 and top >= 0 and bottom <= 100
    assert (right - left, bottom - top) == (190, 30) and label.text == "sky"
