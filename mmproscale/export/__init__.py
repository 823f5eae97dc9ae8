"""Export of trained models to ONNX, OpenVINO and torch.export, with a proof of each file."""
