"""Functions that several processes run together, over gloo on CPUs."""

import json
import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PATIENCE = 900


def on_processes(
    world: int,
    folder: Path,
    work: Callable[..., Any],
    *arguments: Any,
    preload: Sequence[str] = ("mmproscale",),
) -> list[Any]:
    """Return what ``work(rank, *arguments)`` returns on each process, None where it ended before.

    Args:
        world: Number of processes.
        folder: A new folder for their results, which are written as JSON.
        work: A function of a module.
        arguments: Those of ``work``.
        preload: Modules that are imported once, in the server from which the workers are forked.
    """
    folder.mkdir(parents=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    workers = [
        context.Process(target=_run, args=(rank, world, folder, work, arguments))
        for rank in range(world)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
        worker.kill()
    files = [folder / f"{rank}.json" for rank in range(world)]
    return [json.loads(file.read_text()) if file.exists() else None for file in files]


def _run(rank: int, world: int, folder: Path, work: Callable[..., Any], arguments: tuple) -> None:
    import torch

    import mmproscale  # noqa: F401

    torch.set_num_threads(1)
    address = f"file://{folder}/meeting"
    torch.distributed.init_process_group("gloo", address, rank=rank, world_size=world)
    (folder / f"{rank}.json").write_text(json.dumps(work(rank, *arguments)))
    torch.distributed.destroy_process_group()
