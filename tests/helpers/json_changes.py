"""Random changes of JSON content, for hypothesis: a few values replaced, removed or doubled."""

import copy
from typing import Any

from hypothesis import strategies as st

ODD = [
    *(None, True, False, 0, -1, 1, 2, 255, 65536, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308),
    *(
        float("nan"),
        float("inf"),
        "",
        " ",
        "0",
        "7",
        "x",
        "a\\b.jpg",
        "../a.jpg",
        "/a.jpg",
        "é\ud800",
    ),
    *([], [[]], [0], [1, 2], [[1, 2]], [1] * 6, [[1] * 6], [[0, 0, 9, 0, 9, 9]], {}, {"id": 1}),
]
VALUES = st.one_of(
    st.sampled_from(ODD),
    st.integers(-100, 200),
    st.floats(-100, 200),
    st.text(max_size=6),
    st.lists(st.integers(-60, 100), max_size=10),
    st.lists(st.lists(st.floats(-60, 100), max_size=8), max_size=3),
)


def places(content: Any, path: tuple = ()) -> list[tuple]:
    """Return the path of every value below the top."""
    found = [path] if path else []
    if isinstance(content, dict):
        return found + [p for key in content for p in places(content[key], (*path, key))]
    if isinstance(content, list):
        return found + [p for key, v in enumerate(content) for p in places(v, (*path, key))]
    return found


@st.composite
def changed(draw: Any, content: Any, most: int = 3) -> Any:
    """Return a copy of JSON content with up to ``most`` changes."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, most))):
        known = places(content)
        if not known:
            break
        *path, last = draw(st.sampled_from(known))
        parent = content
        for key in path:
            parent = parent[key]
        kind = draw(st.sampled_from(["replace", "replace", "remove", "double"]))
        if kind == "remove":
            del parent[last]
        elif kind == "double" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[last]))
        else:
            parent[last] = copy.deepcopy(draw(VALUES))
    return content
