"""Emits the operands of every instruction from a program step and the memory plan."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.codegen import gather_indices
from lightprune.sparse.codegen.constant_pool import ConstantPool
from lightprune.sparse.codegen.cost_model import SECONDS_PER_VALUE
from lightprune.sparse.codegen.input_packing import PackedInput
from lightprune.sparse.codegen.memory_plan import Buffer, MemoryPlan
from lightprune.sparse.codegen.pixel_copies import gather_operands, packing_operands, pool_operands
from lightprune.sparse.codegen.weight_packing import PackedWeights, band_tiles, tile_records
from lightprune.sparse.ir.elementwise import Function
from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.program import (
    ActivationStep,
    ConvStep,
    FlattenStep,
    GatherStep,
    MultiplyStep,
    PoolStep,
)
from lightprune.sparse.isa import instruction as isa
from lightprune.sparse.isa.records import encode
from lightprune.sparse.isa.register_blocks import PLUS_BIAS, PLUS_RESIDUAL
from lightprune.sparse.isa.tables import NO_VIEW, View
from lightprune.sparse.kernels.activations import code_of_function
from lightprune.sparse.kernels.convolution import conv_kernel

# In seconds: what is shared at all, and what is worth as many chunks again.
_WORTH_SHARING, _WORTH_CHUNKS = 3e-6, 60e-6
# Two threads take four of ten each, and the last two one by one.
_CHUNKS, _MAX_CHUNKS = 10, 80


class Emitter:
    """Emits operands for buffers of a memory plan; `constants` store what their addresses mean."""

    def __init__(self, plan: MemoryPlan) -> None:
        self.plan = plan
        self.constants = ConstantPool()
        self._packed: dict[str, int] = {}

    def _output(self, buffer: Buffer, channels: int) -> dict[str, Any]:
        seconds = SECONDS_PER_VALUE * buffer.channel_stride * (buffer.shape[0] // channels)
        return {**self._target(buffer, channels), **self._chunks(np.full(channels, seconds))}

    def _target(self, buffer: Buffer, channels: int) -> dict[str, Any]:
        return {
            "channels": channels,
            "output": buffer.view,
            "halo_offset": buffer.halo_offset,
            "clear_halo": int(any(buffer.halo)),
        }

    def _chunks(self, costs: NDArray[np.float64]) -> dict[str, Any]:
        """Chunks that take about equally long, by the costs of channels, groups or bands."""
        total = np.concatenate([[0.0], np.cumsum(costs)])
        chunks = 1
        if total[-1] > _WORTH_SHARING:
            worth = _CHUNKS * max(1, int(total[-1] / _WORTH_CHUNKS))
            chunks = min(len(costs), _MAX_CHUNKS, worth)
        bounds = np.searchsorted(total, np.linspace(0, total[-1], chunks + 1)).astype(np.int64)
        bounds[0], bounds[-1] = 0, len(costs)
        return {"chunks": chunks, "chunk_bounds": self.constants.address(bounds)}

    def conv(
        self, step: ConvStep, packed: PackedWeights, bias: NDArray[np.float32], init: int
    ) -> isa.ConvInstruction:
        """A convolution, with its bias (O,), that starts from one of the `FROM_...`."""
        choice = packed.choice
        output, read = self.plan.buffers[step.value], self.plan.input_buffer(step)
        residual = self.plan.buffers[step.residual] if step.residual else output
        tiles, bands, costs = tile_records(step, self.plan, choice), 0, choice.group_seconds
        if step.value in self.plan.bands:
            firsts, shares = band_tiles(choice, self.plan.bands[step.value])
            bands, costs = self.constants.address(firsts), costs.sum() * shares
        padded_bias = np.zeros(len(choice.channel_order), np.float32)
        padded_bias[: len(bias)] = bias
        return isa.ConvInstruction(
            **self._target(output, output.shape[0]),
            **self._chunks(costs),
            input=read.view,
            residual=residual.view,
            init=init,
            final=PLUS_RESIDUAL if step.residual else PLUS_BIAS,
            relu=int(step.relu),
            bias=self.constants.address(padded_bias[choice.channel_order]),
            channel_order=self.constants.address(choice.channel_order),
            indptr=self.constants.address(packed.indptr),
            offsets=self.constants.address(packed.offsets),
            weights=self.constants.address(packed.weights),
            groups=choice.groups,
            group_channels=choice.channel_block.channels,
            passes=len(choice.entries),
            kernel_rows=choice.entries.shape[2],
            tiles=self.constants.address(tiles),
            n_tiles=len(tiles),
            packed_input=self._packed_input(step),
            code=conv_kernel(),
            channel_lanes=int(choice.channel_block.channel_lanes),
            lanes=choice.channel_block.lanes,
            bands=bands,
            **self._activation(step.activation),
        )

    def _activation(self, function: Function | None) -> dict[str, Any]:
        parameters = np.array(function.parameters if function else (0, 0), np.float32)
        return {
            "activation": code_of_function(function),
            "parameters": self.constants.address(parameters),
        }

    def _packed_input(self, step: ConvStep) -> int:
        packed = self.plan.packed_inputs.get(step.value)
        if packed is None:
            return 0
        if packed.name not in self._packed:
            record = encode(self.pack_input(packed, number=len(self._packed)))
            self._packed[packed.name] = self.constants.address(record)
        return self._packed[packed.name]

    def pack_input(self, packed: PackedInput, number: int) -> isa.PackInput:
        """Packs an input, of which the pair of that number says how far it has been done."""
        buffer, source = self.plan.buffers[packed.name], self.plan.buffers[packed.value]
        copies: dict[str, Any] = {}
        if self.plan.images_per_vector == 1:
            copies = packing_operands(self.constants, packed, self.plan)
        return isa.PackInput(
            **self._target(buffer, source.shape[0]),
            input=source.view,
            number=number,
            stride_h=packed.stride[0],
            stride_w=packed.stride[1],
            row_shifts=self.constants.address(np.array(packed.row_shifts, np.int64)),
            n_row_shifts=len(packed.row_shifts),
            column_shifts=self.constants.address(np.array(packed.column_shifts, np.int64)),
            n_column_shifts=len(packed.column_shifts),
            **copies,
        )

    def add(
        self,
        name: str,
        inputs: tuple[str, ...],
        bias: NDArray[np.floating] | None = None,
        relu: bool = False,
        first: int = 0,
    ) -> isa.AddInstruction:
        """The sum of up to two values and a bias, written from channel `first` of the value on."""
        output, summands = self.plan.buffers[name], [self.plan.buffers[n] for n in inputs]
        channels = summands[0].shape[0] if summands else output.shape[0]
        view = output.view._replace(offset=output.view.offset + first * output.channel_stride)
        view = self._as_rows(view)
        kind, address = isa.BiasKind.NONE, 0
        if bias is not None:
            kind = isa.BiasKind.PER_CHANNEL if bias.ndim == 1 else isa.BiasKind.PER_PIXEL
            rows = gather_indices.broadcast_bias(bias, view.width, self.plan.images_per_vector)
            address = self.constants.address(rows)
        return isa.AddInstruction(
            **self._output(output, channels) | {"output": view},
            input=summands[0].view if summands else NO_VIEW,
            addend=summands[1].view if len(summands) > 1 else NO_VIEW,
            bias_kind=kind,
            bias=address,
            relu=int(relu),
        )

    def _as_rows(self, view: View) -> View:
        """Channels of single images, without a halo, as one row of whole vectors."""
        if self.plan.images_per_vector == 1:
            return view._replace(height=1, width=view.channel_stride)
        return view

    def activate(self, step: ActivationStep) -> isa.ActivateInstruction:
        """A function of every number."""
        output = self.plan.buffers[step.value]
        return isa.ActivateInstruction(
            **self._output(output, output.shape[0]) | {"output": self._as_rows(output.view)},
            input=self.plan.buffers[step.input].view,
            **self._activation(step.function),
        )

    def multiply(self, step: MultiplyStep) -> isa.MultiplyInstruction:
        """The product of two values, or of one and a number a channel."""
        output, factor = self.plan.buffers[step.value], self.plan.buffers[step.inputs[1]]
        return isa.MultiplyInstruction(
            **self._output(output, output.shape[0]) | {"output": self._as_rows(output.view)},
            input=self.plan.buffers[step.input].view,
            factor=factor.view,
            by_channel=int(factor.shape[1:] == (1, 1)),
        )

    def pool(self, step: PoolStep) -> isa.Pool:
        """The maximum or the mean of windows."""
        output, read = self.plan.buffers[step.value], self.plan.buffers[step.input]
        names = ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_top", "pad_left")
        window = zip(names, (*step.kernel, *step.stride, *step.padding), strict=True)
        operands = self._output(output, output.shape[0]) | {"input": read.view, **dict(window)}
        if step.kind == "avg":
            return isa.AvgPoolInstruction(**operands, count_padding=int(step.count_include_pad))
        operands |= {"dilation_h": step.dilation[0], "dilation_w": step.dilation[1]}
        if self.plan.images_per_vector > 1:
            return isa.MaxPoolInstruction(**operands)
        copies = pool_operands(self.constants, step, output.shape, read.shape[2])
        return isa.MaxPoolInstruction(**operands, **copies)

    def gather(self, step: GatherStep) -> isa.GatherInstruction:
        """Pixels of the input."""
        output = self.plan.buffers[step.value]
        copies = gather_operands(self.constants, step, self.plan.buffers[step.input])
        return isa.GatherInstruction(**self._output(output, output.shape[0]), **copies)

    def flatten(self, step: FlattenStep) -> isa.FlattenInstruction:
        """Every pixel as a channel."""
        output, read = self.plan.buffers[step.value], self.plan.buffers[step.input]
        return isa.FlattenInstruction(**self._output(output, read.shape[0]), input=read.view)

    def pack(self) -> isa.Pack:
        """Copies the caller's images to the network's input."""
        buffer = self.plan.buffers[INPUT]
        return isa.Pack(**self._output(buffer, buffer.shape[0]))

    def unpack(self, output: str) -> isa.Unpack:
        """Copies the network's output to the caller's memory."""
        buffer = self.plan.buffers[output]
        operands = self._output(buffer, buffer.shape[0]) | {"output": NO_VIEW, "clear_halo": 0}
        return isa.Unpack(**operands, input=buffer.view)
