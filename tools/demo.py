"""Generate Shapes, train, evaluate, draw pictures and a learning curve, in minutes on a CPU."""

import argparse
from pathlib import Path

import mmproscale  # noqa: F401  (applies compat before mmdet is imported)
from mmproscale.cli.command_line import add_cfg_options, add_verbose, command_line
from mmproscale.cli.conversion import make_shapes_with_progress
from mmproscale.utils.config import load_config

NUM_PICTURES = 16


def parse_args() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "config",
        nargs="?",
        default="proscale_m2f_r18_shapes",
        help="panoptic config on Shapes",
    )
    parser.add_argument("--data", default="data/shapes", help="folder of the dataset")
    parser.add_argument("--out", default="work_dirs/demo", help="folder of all other output")
    parser.add_argument("--train-images", type=int, default=2000, help="number of training images")
    parser.add_argument("--val-images", type=int, default=300, help="number of validation images")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a Shapes dataset of another size"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue the training of a demo that was stopped"
    )
    add_verbose(parser)
    add_cfg_options(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    """Run all steps, and print the quality and the files."""
    args = parse_args()
    # Imported only now: torch takes seconds to import.
    from mmproscale.datasets.shapes.generation import ShapesSpec
    from mmproscale.training.runs import build_runner, evaluate_and_report, resume, set_up_run
    from mmproscale.training.validation_pictures import CURVE

    out = Path(args.out)
    spec = ShapesSpec(train=args.train_images, val=args.val_images)
    make_shapes_with_progress(args.data, spec, args.overwrite)
    config = load_config(args.config, {"data_root": args.data, **args.cfg_options})
    set_up_run(config, args.config, args.out)
    if args.resume:
        resume(config, "auto", "apply")
    build_runner(config, ("train", "val"), not args.verbose).train()

    checkpoint = (out / "last_checkpoint").read_text()
    config.load_from, config.resume = checkpoint, False
    config.experiment_name = "evaluation"
    metrics = out / "metrics.json"
    evaluate_and_report(build_runner(config, ("test",), not args.verbose), metrics)
    pictures = draw_pictures(config, checkpoint, out / "pictures")
    print(f"pictures:       {pictures}\nlearning curve: {out / CURVE}\nfigures:        {metrics}")
    print(f"checkpoint:     {checkpoint}")


def draw_pictures(config, checkpoint: str, folder: Path) -> Path:
    """Draw image, prediction and ground truth of the first validation images side by side."""
    from mmproscale.inference.pictures.panoptic_truth import PanopticTruth
    from mmproscale.inference.predictor import Segmenter
    from mmproscale.utils.atomic_files import ensure_writable_dir

    ensure_writable_dir(folder)
    model = Segmenter(config, checkpoint)
    truth = PanopticTruth(config.test_evaluator.ann_file, config.test_evaluator.seg_prefix)
    images = Path(config.data_root, config.test_dataloader.dataset.data_prefix.img)
    for image in sorted(images.glob("*.jpg"))[:NUM_PICTURES]:
        result = model(image)
        result.plot(truth=truth.panel(result)).save(folder / image.name, quality=95)
    return folder


if __name__ == "__main__":
    main()
