"""Weights of classes by name: what is left out, and what is refused."""

import pytest

from mmproscale.errors import InputError
from mmproscale.models.criterion.class_weights import weights_by_name

NAMES = ("car", "road", "sky")


def test_what_has_no_name_keeps_its_weight():
    assert weights_by_name({"sky": 2}, NAMES, [1.0, 0.5, 1.0, 0.1]) == [1.0, 0.5, 2.0, 0.1]
    assert weights_by_name({"car": 0}, NAMES) == [0.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("by_name", "said"),
    [
        ({"raod": 2.0}, "'raod' is not a class of the dataset: did you mean 'road'"),
        ({"zebra": 2.0}, "'zebra' is not a class of the dataset; its classes are car, road, sky"),
        ({"car": -1.0}, "car=-1.0 is not a weight"),
        ({"car": float("nan")}, "car=nan is not a weight"),
        ({"car": "2"}, "car='2' is not a weight"),
        ({"car": True}, "car=True is not a weight"),
    ],
)
def test_wrong_names_and_weights_are_refused(by_name, said):
    with pytest.raises(InputError, match="class_weight") as error:
        weights_by_name(by_name, NAMES)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_list_of_another_length_is_refused():
    with pytest.raises(InputError, match=r"loss_cls\.class_weight has 3 weights, and 4 are needed"):
        weights_by_name({"car": 2.0}, NAMES, [1.0, 1.0, 0.1])
