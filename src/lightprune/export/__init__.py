"""Files out and in: the sparse file, plain safetensors, ONNX, and loading them again."""
