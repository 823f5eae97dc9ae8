"""Segment ids as colours, by panopticapi's stand-in."""

import numpy as np

from mmproscale.compat.panopticapi.utils import id2rgb, rgb2id


def test_ids_survive_their_colours():
    ids = np.array([[0, 255, 256], [65535, 65536, 2**24 - 1]])
    colours = id2rgb(ids)
    assert colours.dtype == np.uint8 and colours.shape == (2, 3, 3)
    assert colours[0, 2].tolist() == [0, 1, 0]
    assert (rgb2id(colours) == ids).all()


def test_one_id_is_a_list_of_three():
    assert id2rgb(1 + 256 * 2 + 65536 * 3) == [1, 2, 3]
    assert rgb2id([1, 2, 3]) == 1 + 256 * 2 + 65536 * 3
