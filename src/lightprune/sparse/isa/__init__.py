"""The instruction set: what code generation and kernels agree on."""
