"""Encoded pictures and label maps keep their values."""

import cv2
import numpy as np

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
