"""How kernels become machine code: Numba, and LLVM IR where Numba cannot express it."""
