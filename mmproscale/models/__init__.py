"""Models: backbones, encoders, pixel decoders, query decoders, heads, fusion, detectors."""
