"""Cache of yapf's grammar, safe where several processes import mmengine for the first time at once.

yapf, which mmengine imports, parses its grammar once and keeps it in the user's cache folder. It
renames the file before the content is written, so that another process can read an empty file; a
process that is killed in between leaves it empty for ever. Here the file is complete before it gets
its name, and a file that can't be read is written again.
"""

import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from mmproscale.compat.import_hooks import call_after_import
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_path

FOLDER = "yapf_third_party._ylib2to3.pgen2"


def share_grammar_cache() -> None:
    """Correct yapf's writing and reading of the cache when it is imported; later is too late."""
    if FOLDER not in sys.modules:
        call_after_import(f"{FOLDER}.grammar", _write_whole_files)
        call_after_import(f"{FOLDER}.driver", _read_broken_files_as_absent)


def _write_whole_files(module: ModuleType) -> None:
    dump = module.Grammar.dump

    def dump_whole(grammar: Any, filename: str | Path) -> None:
        with suppress(InputError), atomic_path(filename) as temporary:  # caching is not vital
            dump(grammar, temporary)

    module.Grammar.dump = dump_whole


def _read_broken_files_as_absent(module: Any) -> None:
    load = module.load_grammar

    def load_grammar(*args: Any, **kwargs: Any) -> Any:
        try:
            return load(*args, **kwargs)
        except Exception:  # a broken pickle may raise anything
            return load(*args, **{**kwargs, "force": True})

    module.load_grammar = load_grammar
