"""Draw the pictures of the README into docs/images: a result on Shapes, and the published frontier.

python benchmarks/pictures.py                              # the frontier, from the papers' figures
python tools/demo.py && python benchmarks/pictures.py --result work_dirs/demo/pictures/000004.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmproscale.cli.command_line import command_line
from mmproscale.planning.published import COCO, LPE, PUBLISHED, Published
from mmproscale.utils.atomic_files import atomic_path, atomic_write_bytes, ensure_writable_dir

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
# Places of labels that would cover others, in points from their dots.
PLACES = {"Lite-M2F + LPE": (-75, 5), "PRO-SCALE (3,1,1)": (-88, -3), "Mask2Former": (-66, -3)}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--result", type=Path, help="a picture that tools/demo.py drew")
    return parser.parse_args()


@command_line
def main() -> None:
    """Write the pictures, and print their paths."""
    args = parse_args()
    ensure_writable_dir(IMAGES)
    print(draw_frontier(IMAGES / "frontier.png"))
    if args.result:
        atomic_write_bytes(IMAGES / "shapes.jpg", args.result.read_bytes())
        print(IMAGES / "shapes.jpg")


def draw_frontier(path: Path) -> Path:
    """Plot PQ against the pixel decoder's cost for each encoder of Swin-T on COCO."""
    rows = [row for row in PUBLISHED if (row.dataset, row.backbone) == (COCO, "swin-t")]
    rows = [row for row in rows if row.schedule is not None]  # RT-M2F, at PQ 41, is off the plot
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, color in (
        ("PRO-SCALE", "tab:blue"),
        ("Lite", "tab:orange"),
        ("Mask2Former", "tab:red"),
    ):
        points = [row for row in rows if label_of(row).startswith(name)]
        axes.plot([r.pixel_decoder for r in points], [r.pq for r in points], "o", c=color)
    for row in rows:
        shift = PLACES.get(label_of(row), (7, -3))
        axes.annotate(
            label_of(row),
            (row.pixel_decoder, row.pq),
            xytext=shift,
            textcoords="offset points",
            fontsize=8,
        )
    axes.set(
        title="Mask2Former with a Swin-T backbone on COCO, as published",
        xlabel="cost of the pixel decoder, GFLOPs (multiply-accumulates)",
        ylabel="panoptic quality (PQ), percent",
        xlim=(5, 125),
        ylim=(50.5, 53.2),
    )
    axes.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return path


def label_of(row: Published) -> str:
    """Return the encoder's name, with its pixel embedding if another row has the other one."""
    name = row.schedule.name if row.schedule else "RT-M2F"
    name = name.replace("M2F x6", "Mask2Former").replace("Lite (5+1)", "Lite-M2F")
    return f"{name} + LPE" if name == "Lite-M2F" and row.pixel_embedding == LPE else name


if __name__ == "__main__":
    main()
