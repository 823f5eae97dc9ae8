"""Values that an argument cannot have, by its annotation."""

from collections.abc import Sequence

import pytest

from mmproscale.models.config_values import expected, misfit_of_attention


@pytest.mark.parametrize(
    "annotation, key, value, wanted",
    [
        ("int", "a", "three", "int"),
        ("int", "a", 3.5, None),
        (int, "a", None, None),
        (bool, "a", "yes", "bool"),
        ("dict | None", "a", "CSM", "dict"),
        ("dict[str, int] | None", "a", 3, "dict"),
        ("Optional[Union[ConfigDict, dict]]", "a", {}, None),
        (Sequence[int], "a", 3, "Sequence"),
        (Sequence[int] | int, "a", 3, None),
        ("Callable | str", "a", 3, None),
        ("", "a", 3, None),
        ("", "in_channels", -4, "a number of at least 0"),
        ("", "frozen_stages", -1, None),
        ("float | Tensor", "lr", "fast", "a number"),
    ],
)
def test_expected(annotation, key, value, wanted):
    assert expected(annotation, key, value) == wanted


def test_misfit_of_attention():
    assert misfit_of_attention(dict(embed_dims=64, num_heads=8)) is None
    assert misfit_of_attention(dict(embed_dims=64)) is None
    said = misfit_of_attention(dict(embed_dims=64, num_heads=7))
    assert said == "num_heads=7: expected a divisor of embed_dims=64"
