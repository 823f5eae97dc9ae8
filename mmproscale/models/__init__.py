"""From images to masks: backbones, encoders, pixel decoders, query decoders, heads, fusion."""
