"""Values as JSON can hold them."""

import json

from mmproscale.utils.json_values import nan_to_null


def test_every_nan_becomes_null():
    nan = float("nan")
    value = {"all": nan, "of_class": {"5": {"pq": nan, "n": 0}}, "row": (1, nan, [nan, "nan"])}
    expected = (
        '{"all": null, "of_class": {"5": {"pq": null, "n": 0}}, "row": [1, null, [null, "nan"]]}'
    )
    assert json.dumps(nan_to_null(value), allow_nan=False) == expected


def test_other_values_stay():
    assert nan_to_null([None, True, 0.5, float("inf"), "text"]) == [
        None,
        True,
        0.5,
        float("inf"),
        "text",
    ]
