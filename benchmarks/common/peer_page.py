"""Peers on the page of the benchmarks: a table for each size, and a plot of PQ against time."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from mmproscale.utils.atomic_files import atomic_path

INTRODUCTION = """\
Each time is of the whole path, from an image (H, W, 3) of bytes at this size to its panoptic map:
normalisation, network, and each package's own post-processing. Nothing is resized before the
network. Files are of the network; what comes before and after it is as in PyTorch: for ours that of
the Predictor, for transformers its own processor (without torchvision) and its own post-processing,
which makes masks of 384x384 first. mmdet runs with mmcv's attention in PyTorch. bf16 in PyTorch is
`Predictor(precision="bf16")` for ours, and autocast for others. onnx is ONNX Runtime in fp32, and
openvino OpenVINO in fp32. int8 runs in OpenVINO, with bf16 for what is not quantised.

Weights are random, and would keep all queries or none. So each model's class layer is replaced by
fixed logits: {queries_kept} queries keep a class, half of them things, and the others none. The
thresholds are the same for all: score {least_score}, and no least share of a mask, since random
masks overlap. So times are those of an image with {queries_kept} candidates for segments, and
nothing here says anything about quality: PQ is published, on COCO except in tables of 1024x2048,
where it is on Cityscapes. All models have the classes of COCO, and PEM those of Cityscapes.

A cell has the median time, in brackets the ratio to the first model in PyTorch fp32, which took
turns with it, and the peak memory of the first run beyond that before it, without the weights."""


def peer_lines(result: Mapping[str, Any], plot: str) -> Iterator[str]:
    """Yield the lines of the section, below its conditions and command.

    Args:
        result: Result of benchmarks/peers.py.
        plot: Path of the plot, as the page names it.
    """
    peers = result["peers"]
    yield from (INTRODUCTION.format_map(result["settings"]), "", f"![PQ against time]({plot})", "")
    for size, cases in _by_size(result).items():
        yield from (f"### {size}", "")
        asked = {name for case in cases.values() for name in _peers_of(case)}
        yield _row(["", f"PQ, {_dataset(size)}", *cases])
        yield _row(["---"] * (2 + len(cases)))
        for name in (name for name in peers if name in asked):
            cells = (_cell(case, name) for case in cases.values())
            yield _row([name, _pq(peers[name], size), *cells])
        yield from ("", *_reasons(cases), "")
    yield from ("Sources of PQ:", "")
    yield from (f"- {name}: {peer['source']}" for name, peer in peers.items())
    yield ""


def draw_peers(path: Path, result: Mapping[str, Any]) -> None:
    """Write a PNG: published PQ against the time of each model, in fp32 and in its fastest form."""
    sizes = _by_size(result)
    figure = Figure(figsize=(5 * len(sizes), 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (size, cases) in enumerate(sizes.items()):
        axes = figure.add_subplot(1, len(sizes), number + 1)
        for name, peer in result["peers"].items():
            times = {form: _found(case, name) for form, case in cases.items()}
            measured = {form: _ms(one) for form, one in times.items() if one}
            if not measured or (pq := peer["pq"].get(_dataset(size))) is None:
                continue
            best = min(measured, key=lambda form: measured[form])
            color = "tab:blue" if peer["ours"] else "tab:grey"
            ends = [measured.get("fp32", measured[best]), measured[best]]
            axes.plot(ends, [pq, pq], "-", c=color, lw=1)
            axes.plot(ends[0], pq, "o", mfc="none", c=color)
            axes.plot(ends[1], pq, "o", c=color)
            axes.annotate(
                f"{name} ({best})", (ends[1], pq), (0, 4), textcoords="offset points", fontsize=6
            )
        axes.set(title=size, xscale="log", xlabel="ms", ylabel=f"PQ, {_dataset(size)}, published")
        axes.set_xlim(right=2 * axes.get_xlim()[1])  # for the names
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
    figure.suptitle("hollow: PyTorch fp32; filled: fastest form; blue: this package", fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _by_size(result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the cases by size and form."""
    sizes: dict[str, dict[str, Any]] = {}
    for case in result["cases"]:
        size, form = case["name"].split(", ")
        sizes.setdefault(size, {})[form] = case
    return sizes


def _dataset(size: str) -> str:
    return "cityscapes" if size == "1024x2048" else "coco"


def _pq(peer: Mapping[str, Any], size: str) -> str:
    pq = peer["pq"].get(_dataset(size))
    return "-" if pq is None else f"{pq:.1f}"


def _peers_of(case: Mapping[str, Any]) -> list[str]:
    names = [*(one["name"] for one in case["candidates"]), *case["missing"]]
    return [name.rpartition(", ")[0] for name in names]


def _found(case: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return what a case measured of a model in the case's own form."""
    wanted = f"{name}, {case['name'].split(', ')[1]}"
    return next((one for one in case["candidates"] if one["name"] == wanted), None)


def _ms(candidate: Mapping[str, Any]) -> float:
    return candidate["parts"]["whole"]["ms"]["median"]


def _cell(case: Mapping[str, Any], name: str) -> str:
    found = _found(case, name)
    if found is None:
        return ""
    ratio = found["parts"]["whole"].get("ratio", {}).get("median")
    memory = found["peak_memory_mib"]
    text = f"{_ms(found):,.0f} ms" + (f" ({ratio:.2f})" if ratio is not None else "")
    return text + (f", {memory:,.0f} MiB" if memory is not None else "")


def _reasons(cases: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield a list of the empty cells, one item for each reason."""
    reasons: dict[str, list[str]] = {}
    for case in cases.values():
        for candidate, reason in case["missing"].items():
            reasons.setdefault(reason, []).append(candidate)
    for why, names in reasons.items():
        item = f"- Not measured: {'; '.join(names)}: {why}"
        yield from textwrap.wrap(item, 100, subsequent_indent="  ")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
