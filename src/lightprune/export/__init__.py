"""Files out and in: sparse file, plain safetensors, ONNX (`lightprune.export_run`, `load`)."""
