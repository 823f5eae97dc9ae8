"""The tree: tests mirror the package, docstrings begin as the style asks, words are plain."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_LOGIC = {"__main__.py", "errors.py", "version.py"}
FOLDERS = ("mmproscale", "tests", "tools", "configs", "benchmarks", "docs")
NOT_FIRST = {"What", "Whether", "Whose", "Of", "How", "Which", "Where"}
HARD_WORDS = re.compile(
    r"(?<![a-z])(alone|beside|anew|whatever|in the place of|one's own)(?![a-z])", re.IGNORECASE
)


def test_every_module_has_its_test_file():
    modules = [
        path.relative_to(ROOT / "mmproscale")
        for path in (ROOT / "mmproscale").rglob("*.py")
        if path.name != "__init__.py" and ".mim" not in path.parts
    ]
    assert len(modules) > 100
    missing = [
        str(module)
        for module in modules
        if str(module) not in WITHOUT_LOGIC
        and not (ROOT / "tests" / module.parent / f"test_{module.name}").is_file()
    ]
    assert not missing


def test_docstrings_say_what_a_thing_is_or_does():
    found = []
    for path in texts(".py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                first = str(node.value.value).partition(" ")[0]
                found += [f"{path}:{node.lineno}: {first}"] if first in NOT_FIRST else []
    assert not found


def test_words_are_plain():
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in texts(".py", ".md")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if HARD_WORDS.search(line) and path != Path(__file__).resolve()
    ]
    assert not found


def texts(*suffixes: str) -> list[Path]:
    """Return the repository's own files of these kinds."""
    inside = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    files = [path for path in (*ROOT.glob("*"), *inside) if path.suffix in suffixes]
    assert len(files) > 100
    return [path for path in files if ".mim" not in path.parts]
