"""Words of messages."""

from mmproscale.utils.words import few, plural


def test_nouns_follow_their_number():
    given = [plural(n, w) for n, w in ((1, "fault"), (0, "image"), (1, "class"), (2000, "box"))]
    assert given == ["1 fault", "0 images", "1 class", "2,000 boxes"]


def test_long_lists_end_in_a_number():
    assert few(["a", "b"]) == "'a', 'b'" and few("abcd", 2) == "'a', 'b' and 2 more"
