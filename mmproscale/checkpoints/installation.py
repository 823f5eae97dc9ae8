"""Put our loader in the place of mmengine's, for resume, load_from, init_cfg and test alike."""

import importlib
from collections.abc import Callable
from functools import wraps
from typing import Any

from mmproscale.compat.import_hooks import call_after_import

_TARGET = "mmengine.runner.checkpoint"


def install_when_imported() -> None:
    """Install now if mmengine's loader is imported already, else at the moment it is.

    `import mmproscale` stays light this way: mmengine.runner imports torch, which takes seconds.
    """
    call_after_import(_TARGET, lambda module: install())


def install() -> None:
    """Register our loader for local files and addresses; where a fetch fails, say what to do."""
    module: Any = importlib.import_module(_TARGET)
    from mmproscale.checkpoints import remote, safe_loading

    # mmengine names the backend in its log by what follows 'load_from_'.
    def load_from_local(filename: str, map_location: Any = None) -> dict:
        return safe_loading.load_checkpoint(filename, map_location)

    register = module.CheckpointLoader.register_scheme
    register("", load_from_local, force=True)
    register(("http://", "https://"), remote.load_from_http, force=True)
    register(("modelzoo://", "torchvision://"), remote.load_from_torchvision, force=True)
    # The loaders below look the address up, then call this by its name in the module.
    module.load_from_http = remote.load_from_http
    for prefix, name in [
        ("open-mmlab://", "load_from_openmmlab"),
        ("openmmlab://", "load_from_openmmlab"),
        ("mmcls://", "load_from_mmcls"),
    ]:
        register(prefix, _explained(getattr(module, name)), force=True)


def _explained(loader: Callable[..., dict]) -> Callable[..., dict]:
    from mmproscale.checkpoints.remote import could_not_fetch

    @wraps(loader)
    def load(filename: str, map_location: Any = None) -> dict:
        try:
            return loader(filename, map_location)
        except (KeyError, OSError) as error:
            raise could_not_fetch(filename, error) from error

    return load
