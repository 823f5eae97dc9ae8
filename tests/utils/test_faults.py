"""Faults: their line of text, their refusal, and the tests of JSON's numbers."""

import math

import pytest

from mmproscale.errors import InputError
from mmproscale.utils.faults import (
    Fault,
    accept,
    excerpt,
    is_finite,
    is_int,
    is_number,
    refuse,
)

FAULT = Fault("box-type", "a.json", "annotations[3].bbox", "is 'x', not a box", "give a box")
NOTE = Fault("image-turned", "0.jpg", "", "is turned", "store it upright", note=True)


def test_text_names_file_field_problem_and_action():
    assert str(FAULT) == "'a.json': annotations[3].bbox is 'x', not a box: give a box"
    assert str(NOTE) == "'0.jpg' is turned: store it upright"
    assert FAULT.record == "annotations[3]" and NOTE.record == ""


def test_refusal_states_the_first_fault_and_counts_the_others():
    other = Fault("area-value", "a.json", "", "is wrong", "mend it")
    with pytest.raises(InputError, match=r"\A\[box-type\] 'a\.json': .*: give a box\Z"):
        refuse([NOTE, FAULT])
    text = r"give a box; 2 more of this kind; 1 other fault, see mmproscale check-dataset\Z"
    with pytest.raises(InputError, match=text):
        refuse([FAULT, FAULT, NOTE, other, FAULT])


def test_notes_are_not_refused():
    refuse([NOTE, NOTE])
    refuse([])


def test_accept_returns_what_was_read_and_raises_a_fault():
    assert accept([1, 2]) == [1, 2] and accept(None) is None
    with pytest.raises(InputError, match=r"\A\[box-type\] 'a\.json'"):
        accept(FAULT)


def test_an_excerpt_is_cut():
    assert excerpt("a\nb") == r"'a\nb'"
    assert excerpt("x" * 99, limit=10) == "'xxxxxx..."


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, (True, True, True)),
        (10**400, (True, True, False)),
        (0.5, (False, True, True)),
        (math.nan, (False, True, False)),
        (-math.inf, (False, True, False)),
        (True, (False, False, False)),
        ("7", (False, False, False)),
        (None, (False, False, False)),
    ],
)
def test_numbers_of_json(value, expected):
    assert (is_int(value), is_number(value), is_finite(value)) == expected
