"""Constraints files pin what the requirements files state, and all that these need."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

FOLDER = Path(__file__).resolve().parents[2] / "requirements"


def requirements(file: Path) -> dict[str, str]:
    """Return name -> exact version that a file and those that it includes state for Python 3.11."""
    found = {}
    for line in file.read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("-r "):
            found |= requirements(file.parent / line[3:].strip())
        elif line:
            one = Requirement(line)
            exact = [part.version for part in one.specifier if part.operator == "=="]
            if exact and (one.marker is None or one.marker.evaluate({"python_version": "3.11"})):
                found[re.sub(r"[-_.]+", "-", one.name).lower()] = exact[0]
    return found


@pytest.mark.parametrize("stack", ["openmmlab", "onedl"])
def test_constraints_have_the_versions_of_the_requirements(stack):
    constraints = requirements(FOLDER / f"constraints-{stack}.txt")
    stated = requirements(FOLDER / f"{stack}.txt")
    assert stated.items() <= constraints.items()
    assert {"torch", "yapf", "pyyaml", "addict"} <= constraints.keys()
