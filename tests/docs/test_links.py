"""Links of README.md, CONTRIBUTING.md and docs/*.md lead to files and anchors that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
LONGEST_LINE = 120
GENERATED = {"recipes.md"}  # its lines are lists of configs


def text_of(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[str]:
    """Return the targets of a page's links, except addresses on the web."""
    found = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text_of(page))
    return [target for target in found if not re.match(r"\w+:", target)]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    made: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        earlier = sum(
            re.fullmatch(rf"{re.escape(slug)}(-\d+)?", anchor) is not None for anchor in made
        )
        made.append(f"{slug}-{earlier}" if earlier else slug)
    return set(made)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_broken_links_and_repeated_headings_are_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`, c\n## A b c\n[x](gone.md#y) [z](https://a.b)\n```\n# [n](no.md)\n```\n"
    )
    assert links(page) == ["gone.md#y"]
    assert anchors(page) == {"a-b-c", "a-b-c-1"}


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_page_is_linked_from_the_readme_or_another_page(page):
    others = [other for other in PAGES if other != page]
    targets = {(o.parent / link.partition("#")[0]).resolve() for o in others for link in links(o)}
    assert page in targets


@pytest.mark.parametrize(
    "page", [d for d in DOCS if d.name not in GENERATED], ids=lambda page: page.name
)
def test_lines_outside_tables_are_short(page):
    lines = (line for line in page.read_text().splitlines() if not line.startswith("|"))
    assert [line for line in lines if len(line) > LONGEST_LINE] == []
