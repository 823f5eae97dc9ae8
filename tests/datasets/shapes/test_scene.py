"""One Shapes image: its segments keep the stated bounds, and colour does not determine a class."""

from collections import defaultdict

import cv2
import numpy as np
import pytest

from mmproscale.datasets.shapes.scene import STUFF, THINGS, color_of, draw_scene, outline


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(np.random.default_rng([0, index]), 128) for index in range(150)]


@pytest.mark.slow
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
        scene = draw_scene(np.random.default_rng([1, index]), size)
        sides = [s.side for s in scene.segments if s.side]
        assert all(0.06 * size <= side <= 0.45 * size for side in sides)


def test_stuff_regions_crowds_and_void_are_there(scenes):
    kinds = [[s.category for s in scene.segments if s.category in STUFF] for scene in scenes]
    assert all(1 <= len(k) <= 3 and len(k) == len(set(k)) for k in kinds)
    assert {len(k) for k in kinds} == {1, 2, 3}
    crowds = [s for scene in scenes for s in scene.segments if s.is_crowd]
    assert 10 <= len(crowds) <= 40 and {s.category for s in crowds} == set(THINGS)
    assert 20 <= sum((scene.ids == 0).any() for scene in scenes) <= 75


def test_colour_does_not_determine_a_class(scenes):
    """Two things and two stuff classes share every hue; mean brightness differs little."""
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


def test_outlines_have_their_shape_and_size():
    center = np.array([64.0, 64.0])
    areas = {kind: outline(kind, center, 60, 0, 128).sum() for kind in THINGS}
    assert 0.75 < areas["disc"] / 3600 < 0.82
    assert areas["star"] < areas["triangle"] * 1.2 < areas["disc"]
    for kind in THINGS:
        rows, columns = np.nonzero(outline(kind, center, 60, 33, 128))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (59, 60, 61)
