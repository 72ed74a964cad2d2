"""Bands: the pixels of a single image that threads share a convolution by, if not its channels."""

from collections.abc import Mapping
from math import prod

import numpy as np

from lightprune.sparse.codegen.input_packing import PackedInput
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import ConvStep, Program
from lightprune.sparse.isa.register_blocks import LANES

# Pixels in a band, of which there are to be enough for equal shares. The wider ones are whole tiles
# of the largest register blocks.
_BAND_PIXELS = (16 * LANES, 8 * LANES)
_MIN_BANDS = 6
# Of a weight and where its input lies.
_WEIGHT_BYTES = 8


def plan_bands(program: Program, packed_inputs: Mapping[str, PackedInput]) -> dict[str, int]:
    """The pixels in a band, by the value of those convolutions that threads share by bands.

    Convolutions that read the same packed input have the same bands or none.
    """
    bands = {
        step.value: _band_pixels(step, packed_inputs.get(step.value), program.shapes)
        for step in program.steps
        if isinstance(step, ConvStep)
    }
    narrowest: dict[str, int] = {}
    for value, packed in packed_inputs.items():
        pixels = bands.get(value, 0)
        narrowest[packed.name] = min(narrowest.get(packed.name, pixels), pixels)
    shared = {value: narrowest[packed.name] for value, packed in packed_inputs.items()}
    return {value: pixels for value, pixels in (bands | shared).items() if pixels}


def _band_pixels(step: ConvStep, packed: PackedInput | None, shapes: Mapping[str, Shape]) -> int:
    """Pixels in a band of a single image's convolution, or 0 where threads share its channels.

    With channels shared, every thread reads the whole input, much of which others have written,
    and packs all of it. With bands shared, every thread reads all weights instead. What takes fewer
    bytes is right.
    """
    inputs, *_ = shapes[step.input]
    pixels = prod(shapes[step.value][1:])
    planes = packed.planes if packed else 0
    input_bytes = 4 * (prod(shapes[step.input]) + planes * inputs * pixels)
    if input_bytes <= _WEIGHT_BYTES * np.count_nonzero(step.weight):
        return 0
    return next((size for size in _BAND_PIXELS if pixels // size >= _MIN_BANDS), 0)
