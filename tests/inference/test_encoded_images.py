"""Encoded pictures and label maps keep their values."""

import cv2
import numpy as np
import pytest

from mmproscale.errors import InputError
from mmproscale.inference.encoded_images import encode_category_png, encode_jpg


def test_category_ids_from_256_on_have_16_bits():
    png = encode_category_png(np.array([[3, 300]]))
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded.dtype == np.uint16 and decoded.tolist() == [[3, 300]]


def test_a_jpg_keeps_the_order_of_colours():
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[..., 0] = 255
    bgr = cv2.imdecode(np.frombuffer(encode_jpg(picture), np.uint8), cv2.IMREAD_COLOR)
    assert bgr[..., 2].min() > 200 and bgr[..., :2].max() < 50


@pytest.mark.parametrize("number", [65536, 1049871, -1])
def test_ids_that_a_png_can_not_hold_are_refused(number):
    with pytest.raises(InputError, match=f"category id {number} does not fit .* 16 bits"):
        encode_category_png(np.array([[3, number]]))
    encode_category_png(np.array([[0, 65535]]))
