"""Nothing in the package runs content of a file, and only the loader reads checkpoints."""

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "mmproscale"
LOADER = "checkpoints/read_checkpoint.py"
# The loader's own unpickler, which builds plain values only.
UNPICKLER = "checkpoints/plain_pickle.py"
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def faults(source: str, is_loader: bool = False) -> list[str]:
    """Return what a module must not do: run text, import pickle, call torch.load."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Name, ast.Attribute)):
            name = ast.unparse(node)
            if name.removeprefix("builtins.") in ("eval", "exec", "compile"):
                found.append(name)
            if name.endswith("torch.load") or name.endswith("jit.load"):
                found += [] if is_loader else [name]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in PICKLES]
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if str(node.module).split(".")[0] in PICKLES or names & PICKLES:
                found.append(f"from {node.module}")
            if str(node.module).startswith("torch") and "load" in names:
                found.append("from torch import load")
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found.append("allow_pickle")
        elif isinstance(node, ast.keyword) and node.arg == "weights_only":
            found += [] if getattr(node.value, "value", None) is True else ["weights_only"]
    return found


def test_no_module_runs_content_of_files():
    modules = [path for path in PACKAGE.rglob("*.py") if ".mim" not in path.parts]
    assert len(modules) > 100 and PACKAGE / LOADER in modules
    found = {
        str(path.relative_to(PACKAGE)): named
        for path in modules
        if (named := faults(path.read_text(), path == PACKAGE / LOADER))
    }
    assert found == {UNPICKLER: ["pickle"]}
    code = (PACKAGE / UNPICKLER).read_text()
    used = set(re.findall(r"\bpickle\.(\w+)", code))
    assert {name for name in used if not name.isupper()} == {"_Unpickler"}, "no load"


def test_the_scan_sees_each_way():
    for line in (
        "eval('1')", "import builtins; builtins.exec('1')", "f = eval", "import pickle",
        "from pickle import loads", "from torch import load", "import torch; torch.load('a')",
        "import numpy; numpy.load('a', allow_pickle=True)", "compile('1', 'a', 'exec')",
        "import torch; read = torch.load", "from six.moves import cPickle",
    ):  # fmt: skip
        assert faults(line), line
    assert faults("import torch; torch.load('a', weights_only=False)", is_loader=True)
    assert not faults(
        "model.eval(); import torch; torch.load(a, weights_only=True)", is_loader=True
    )
