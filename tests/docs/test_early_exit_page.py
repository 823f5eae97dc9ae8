"""docs/early_exit.md against the code: the file's columns and keys, the tool's options."""

import re
from dataclasses import fields
from pathlib import Path

from mmproscale.early_exit.derived_file import BOX_FIELDS, COUNT_FIELDS, FIELDS, KEY, VERSION
from mmproscale.early_exit.derived_table import Origin
from mmproscale.early_exit.gate_fitting import LOSSES
from mmproscale.early_exit.image_quality import QUALITIES
from mmproscale.models.heads.multi_exit_loss import EXITS, WEIGHTINGS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/early_exit.md").read_text()


def first_cells(heading, number=0):
    """Return the code names in the first column of a table, the ``number``-th with a heading."""
    rows = PAGE.split(f"| {heading} |")[number + 1].partition("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`([\w-]+)`", row.split("|")[1])]


def test_the_derived_file_is_as_the_page_says():
    for number, columns in enumerate((FIELDS, COUNT_FIELDS, BOX_FIELDS)):
        assert first_cells("column | type", number) == [name for name, _ in columns]
    assert first_cells("key") == _in_page_order(["version", *(f.name for f in fields(Origin))])
    assert f"`{KEY.decode()}`" in PAGE and f"version is {VERSION};" in PAGE


def _in_page_order(names):
    assert all(f"`{name}`" in PAGE for name in names)
    return sorted(names, key=lambda name: PAGE.rpartition("| key |")[2].index(f"`{name}`"))


def test_options_of_step_a_are_those_of_its_loss():
    assert first_cells("option of `exit_loss`") == ["exits", "weighting", "with_cp"]
    assert all(f'`"{value}"`' in PAGE for value in EXITS + WEIGHTINGS)


def test_losses_and_commands_are_the_tools():
    assert first_cells("`--loss`") == list(LOSSES)
    tool = (ROOT / "tools/eco.py").read_text()
    assert all(f"`{name}`" in PAGE for name in QUALITIES)
    for option in set(re.findall(r"eco\.py .*?(--[a-z-]+)", PAGE)) - {"--cfg-options"}:
        assert f'"{option}"' in tool
    for config in re.findall(r"configs/\w+\.py", PAGE):
        assert (ROOT / config).is_file()
