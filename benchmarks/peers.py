"""Peers next to each other: from an image in memory to its panoptic map, in several forms.

Each size and form is one case, whose candidates take turns; transformers' Mask2Former in PyTorch
fp32 is in every case, as the first one. Images of more than 1.5 megapixels have one round. A
finished case is kept next to the results until all are measured, so that an interrupted run goes on
where it was. Networks in ONNX are kept in --files.

python benchmarks/peers.py --dry-run checks that everything runs, with few layers at a tiny size.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common.benchmark import RESULTS, make_parser
from common.peer_models import LEAST_SCORE, PEERS, QUERIES_KEPT, Built, Peer, Setting, Size
from rich.console import Console

from mmproscale.cli.command_line import command_line
from mmproscale.compat.installed_packages import installed_version
from mmproscale.errors import InputError
from mmproscale.export.formats import write_openvino
from mmproscale.models.precision import PRECISIONS
from mmproscale.timing.comparison import Case, Prepared, measure_case, table_rows
from mmproscale.timing.conditions import conditions, set_up
from mmproscale.timing.measured_memory import peak_on_cpu, peak_on_cuda
from mmproscale.timing.measurement import Stopwatch
from mmproscale.utils.atomic_files import atomic_write_text
from mmproscale.utils.terminal_table import terminal_table

SIZES: tuple[Size, ...] = ((640, 640), (800, 1088), (1024, 2048))
LARGE = 1_500_000  # pixels
TITLE = "Peers: from an image to its panoptic map"
PACKAGES = ("transformers", "onnxruntime", "openvino")
OPTIONS = ("rounds", "warm_up", "threads", "dry_run")


@dataclass(frozen=True)
class Form:
    """Form in which a model runs.

    Args:
        precision: Precision in PyTorch, or of the file.
        suffix: Suffix of the exported file; empty for PyTorch.
        devices: Devices that have the form.
        most_pixels: Largest image; the memory of all models at once is too much for larger ones.
    """

    precision: str = "fp32"
    suffix: str = ""
    devices: tuple[str, ...] = ("cpu",)
    most_pixels: float = math.inf


FORMS = {
    "fp32": Form(devices=("cpu", "cuda")),
    "bf16": Form("bf16", devices=("cpu", "cuda")),
    "fp16": Form("fp16", devices=("cuda",)),
    "onnx": Form(suffix=".onnx", most_pixels=LARGE),
    "openvino": Form(suffix=".xml"),
    "openvino-bf16": Form("bf16", ".xml"),
    "int8": Form("int8", ".xml"),
}


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.set_defaults(rounds=2, warm_up=0)  # the measurement of memory warms up
    parser.add_argument("--sizes", nargs="+", type=_size, default=SIZES, metavar="HxW")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=[*PEERS], metavar="NAME")
    parser.add_argument("--forms", nargs="+", choices=FORMS, help="default: all of the device")
    parser.add_argument(
        "--files", type=Path, default=Path("work_dirs/peers"), help="exported files"
    )
    parser.add_argument("--dry-run", action="store_true", help="few layers, 64x64, 1 round")
    args = parser.parse_args()
    if args.dry_run:
        args.sizes, args.rounds, args.files = ((64, 64),), 1, args.files / "dry_run"
    return args


def _size(text: str) -> Size:
    height, width = map(int, text.split("x"))
    return height, width


@command_line
def main() -> None:
    args = parse_args()
    set_up(args)
    wanted = args.forms or [name for name, form in FORMS.items() if args.device in form.devices]
    out = Path(args.out or RESULTS / f"peers_{args.device}.json")
    kept = out.with_suffix(".unfinished.json")
    facts = {name: getattr(args, name) for name in OPTIONS} | {"only": args.only}
    cases = _finished(kept, facts)
    workshop = Workshop(args)
    for size in args.sizes:
        for form in wanted:
            name = f"{size[0]}x{size[1]}, {form}"
            if name not in cases:
                cases[name] = measure_form(workshop, name, size, form)
                atomic_write_text(kept, json.dumps({"facts": facts, "cases": cases}))
            Console().print(terminal_table(name, table_rows(cases[name])))
    results = {
        "benchmark": "peers",
        "title": TITLE,
        **conditions(args, "benchmarks/peers.py", without="--out"),
        "packages": {package: installed_version(package) for package in PACKAGES},
        "settings": {"queries_kept": QUERIES_KEPT, "least_score": LEAST_SCORE},
        "peers": {
            name: {"pq": peer.pq, "source": peer.source, "ours": peer.ours}
            for name, peer in PEERS.items()
        },
        "cases": list(cases.values()),
    }
    atomic_write_text(out, json.dumps(results, indent=1) + "\n")
    kept.unlink(missing_ok=True)
    print(f"written to {out}")


def _finished(kept: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cases that an interrupted run with the same options has measured."""
    if not kept.is_file():
        return {}
    found = json.loads(kept.read_text(encoding="utf-8"))
    if found["facts"] != facts:
        raise InputError(f"{kept} is of a run with other options: finish that, or remove the file")
    print(f"{len(found['cases'])} finished cases are taken from {kept}")
    return found["cases"]


def measure_form(workshop: Workshop, name: str, size: Size, form: str) -> dict[str, Any]:
    """Measure all candidates in one form at one size; the first is the base in fp32."""
    base = next(iter(PEERS))
    wanted = [(base, "fp32")] + [(peer, form) for peer in workshop.args.only]
    prepared: dict[str, Prepared] = {}
    memory, missing = {}, {}
    rounds = 1 if size[0] * size[1] > LARGE else workshop.args.rounds
    args = argparse.Namespace(**{**vars(workshop.args), "rounds": rounds})
    with tempfile.TemporaryDirectory() as folder:
        for peer, its_form in dict.fromkeys(wanted):
            candidate = f"{peer}, {its_form}"
            try:
                made = workshop.prepare(peer, its_form, size, Path(folder))
            except Exception as error:  # exporters and runtimes raise a dozen classes
                missing[candidate] = " ".join(str(error).split())[:200] or type(error).__name__
            else:
                prepared[candidate], memory[candidate] = made
        makers = {candidate: partial(lambda one: one, one) for candidate, one in prepared.items()}
        case = Case(name, dict(size=list(size), form=form), makers)
        measured = measure_case(case, args, lambda: None)
    for candidate in measured["candidates"]:
        candidate["peak_memory_mib"] = memory[candidate["name"]]
    gc.collect()
    return measured | {"missing": missing}


class Workshop:
    """Models and files of the candidates, each made once.

    Args:
        args: Options of the command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self._models: dict[tuple[str, Size | None, str], Built] = {}

    def prepare(
        self, name: str, form_name: str, size: Size, folder: Path
    ) -> tuple[Prepared, float | None]:
        """Return a candidate that is ready, and the peak memory of its first run in MiB.

        Args:
            name: Name of the peer.
            form_name: Name of the form.
            size: (H, W) of the image.
            folder: Folder for OpenVINO's files.

        Raises:
            InputError: There is no such candidate; the text says why.
        """
        peer, form = PEERS[name], FORMS[form_name]
        if peer.only and size != peer.only and not self.args.dry_run:
            raise InputError("its published weights take {}x{} only".format(*peer.only))
        if form.suffix and not peer.exports:
            raise InputError("its package has no export of its own")
        if size[0] * size[1] > form.most_pixels:
            raise InputError("ONNX Runtime keeps the memory of each, too much for all at this size")
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        in_torch = form.precision if peer.ours and not form.suffix else "fp32"
        built = self._model(name, peer, size, in_torch)
        if form.suffix:
            assert built.open_file is not None
            run = partial(built.open_file(self._file(name, built, size, form, folder)), image)
        else:
            autocast = "fp32" if peer.ours else form.precision
            run = partial(self._run_in_torch, built, PRECISIONS[autocast], image)
        measure_peak = peak_on_cuda if self.args.device == "cuda" else peak_on_cpu
        peak = measure_peak(lambda: run(Stopwatch()), lambda: None)
        return Prepared(run=run, warm_up=lambda: None), None if self.args.no_memory else peak

    def _model(self, name: str, peer: Peer, size: Size, precision: str) -> Built:
        key = name, size if peer.only else None, precision
        if key not in self._models:
            setting = Setting(size, self.args.device, precision, self.args.dry_run)
            self._models[key] = peer.make(setting)
            self._models[key].module.to(self.args.device)
        return self._models[key]

    def _run_in_torch(
        self, built: Built, dtype: torch.dtype, image: np.ndarray, watch: Stopwatch
    ) -> None:
        autocast = torch.autocast(self.args.device, dtype, enabled=dtype != torch.float32)
        with torch.no_grad(), autocast, built.context():
            built.run(image, watch)

    def _file(self, name: str, built: Built, size: Size, form: Form, folder: Path) -> Path:
        """Return the network's file; that of ONNX is written if it is not there."""
        label = "".join(letter if letter.isalnum() else "_" for letter in name)
        source = self.args.files / f"{label}_{size[0]}x{size[1]}.onnx"
        if not source.is_file():
            source.parent.mkdir(parents=True, exist_ok=True)
            assert built.write is not None
            with torch.no_grad():
                built.write(size, source)
        if form.suffix == ".onnx":
            return source
        # Only the time counts here, so noise calibrates.
        out, noise = folder / f"{label}.xml", torch.randn(1, 3, *size)
        write_openvino(source, out, form.precision, [[noise]] * 2)
        return out


if __name__ == "__main__":
    main()
