"""Export a trained model to ONNX, OpenVINO or torch.export, and prove the file on images."""

from argparse import Namespace
from pathlib import Path

import mmproscale  # noqa: F401  (checks versions before OpenMMLab is imported)
from mmproscale.checkpoints.model_config import building_for, is_checkpoint, load_config_for
from mmproscale.cli.command_line import (
    MixedParser,
    add_cfg_options,
    add_model,
    at_least,
    command_line,
)


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = MixedParser(description=__doc__)
    add_model(parser, "config that the checkpoint was trained with")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="file to write")
    parser.add_argument(
        "--format",
        choices=["onnx", "openvino", "torch"],
        default="onnx",
        help="ONNX (.onnx, the default), OpenVINO (.xml and .bin) or torch.export (.pt2)",
    )
    parser.add_argument("--precision", choices=["fp32", "fp16", "bf16", "int8"], default="fp32")
    parser.add_argument(
        "--calibrate", metavar="DIR", help="images that calibrate --precision int8: 8 or more"
    )
    parser.add_argument(
        "--size",
        nargs=2,
        type=at_least(1),
        metavar=("H", "W"),
        help="size of the images after the test pipeline, or of the photos with "
        "--with-preprocessing; default: that of the first image of the proof",
    )
    parser.add_argument("--batch", type=at_least(1), default=1, help="images at once; default: 1")
    parser.add_argument("--dynamic", action="store_true", help="leave batch and size free")
    parser.add_argument(
        "--with-preprocessing",
        action="store_true",
        help="resize, normalise and pad inside: the file takes RGB photos (B, H, W, 3) uint8",
    )
    parser.add_argument(
        "--with-fusion",
        action="store_true",
        help="fuse inside: the file gives panoptic ids and segments, or labels, or boxes",
    )
    parser.add_argument(
        "--msda",
        choices=["plain", "plugin"],
        default="plain",
        help="deformable attention in standard operators, or as TensorRT's plugin",
    )
    parser.add_argument("--images", metavar="DIR", help="images of the proof; default: the dataset")
    parser.add_argument(
        "--proof-images", type=at_least(0), default=16, metavar="N", help="at most N; 0: no proof"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.config is not None and is_checkpoint(args.config):
        parser.error(f"{args.config} is a checkpoint: name its config before it, or it only")
    return args


@command_line
def main() -> None:
    """Write the files, compare them with PyTorch, and print the figures."""
    args = parse_args()
    config = load_config_for(args.config, args.checkpoint, args.cfg_options)
    # Imported only now: torch takes seconds to import, and a wrong path should fail at once.
    from mmproscale.export.export_run import ExportOptions, check_out, export, size_after_pipeline
    from mmproscale.export.int8 import calibration_images
    from mmproscale.export.proof import proof_images
    from mmproscale.inference.predictor import Predictor

    calibration = calibration_images(args.calibrate, args.precision)
    options = ExportOptions(
        format=args.format,
        precision=args.precision,
        size=None if args.size is None else tuple(args.size),
        batch=args.batch,
        dynamic=args.dynamic,
        fusion=args.with_fusion,
        preprocessing=args.with_preprocessing,
        plugin=args.msda == "plugin",
    )
    check_out(args.out, args.format, args.overwrite)
    images, truth = [], None
    if args.proof_images:
        images, truth = proof_images(config, args.images, args.proof_images)
    with building_for(args.checkpoint, args.config):
        predictor = Predictor(config, args.checkpoint, "cpu")
    options = size_after_pipeline(predictor, options, images)
    for file in export(predictor, args.out, options, calibration):
        print(f"{file}: {file.stat().st_size / 2**20:.1f} MiB")
    if images and not options.plugin:
        prove_file(predictor, args.out, images, truth)


def prove_file(predictor, out: Path, images, truth) -> None:
    """Compare the file with PyTorch; write the figures next to it and print them."""
    from mmproscale.export.proof import proof_lines, prove, write_proof
    from mmproscale.inference.exported_file import ExportedFile
    from mmproscale.inference.predictor import Predictor

    report = prove(predictor, Predictor(ExportedFile(out)), images, truth)
    print(*proof_lines(report), write_proof(out, report), sep="\n")


if __name__ == "__main__":
    main()
