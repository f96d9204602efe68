"""The text of the generated C: a header, the layers with the function that runs them, and the constants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from targets.formats.tflite import Graph, Tensor
from targets.microcontroller.compiler.layer import Kernel, Layer
from targets.microcontroller.compiler.memory import Memory
from targets.microcontroller.compiler.sharing import Copy, share
from targets.microcontroller.compiler.streaming import Stream
from targets.microcontroller.compiler.text import C_TYPES, comment, declaration, definition, literal, qualify, structure

NOTICE = "/* Written by edgepress from a .tflite file; the same file gives the same text. C99, no heap, no state, reentrant. */"


@dataclass(frozen=True, eq=False)
class Program:
    """A graph with its layers and where everything lies. `name` is a C identifier."""

    name: str
    graph: Graph
    layers: tuple[Layer, ...]
    memory: Memory

    @cached_property
    def copies(self) -> dict[int, Copy]:
        """The code that layers share, by their steps."""
        return share({step: self.calls(step, layer.kernel) for step, layer in enumerate(self.layers) if layer.kernel is not None})

    def calls(self, step: int, kernel: Kernel) -> list[Kernel]:
        """A layer's kernel as it is called: once, or once a stripe."""
        stream = self.memory.stream
        return [kernel] if stream is None or step not in stream else stream.kernels(step, kernel)

    def function(self, step: int) -> str:
        """The C name of a layer's function."""
        return f"{self.name}_layer_{step:02d}_{self.graph.operators[step].name.lower()}"

    def kernel(self, copy: Copy) -> str:
        """The C name of a kernel that layers share."""
        return f"{self.name}_{copy.kernel.function.removeprefix('ep_')}_{copy.number}"

    def prefix(self, step: int) -> str:
        """What the names of a layer's constants start with."""
        return f"{self.name}_{step:02d}_"


def header(program: Program) -> str:
    """`<name>.h`: what a firmware includes."""
    name, upper = program.name, program.name.upper()
    parts = [
        NOTICE,
        f"#ifndef EDGEPRESS_{upper}_H\n#define EDGEPRESS_{upper}_H\n\n#include <stdint.h>",
        '#ifdef __cplusplus\nextern "C" {\n#endif',
        f"#define {upper}_ARENA_BYTES {program.memory.arena_bytes}",
        _sizes(upper, "INPUT", _tensors(program, program.graph.inputs)) + _sizes(upper, "OUTPUT", _tensors(program, program.graph.outputs)),
        f"/* Runs the network once. The arena has {upper}_ARENA_BYTES bytes, aligned to 16; inputs are left as they are. */\n"
        f"void {name}_run(const void *const inputs[], void *const outputs[], void *arena);",
        _convenience(program),
        "#ifdef __cplusplus\n}\n#endif\n\n#endif",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def source(program: Program) -> str:
    """`<name>.c`: the kernels that layers share, a function a layer, and the one that calls them."""
    name = program.name
    headers = sorted({header for layer in program.layers for header in layer.headers} | {"edgepress_common.h"})
    includes = [f'#include "{header}"' for header in (f"{name}.h", f"{name}_weights.h", *headers)]
    functions = [_function(program, step) for step, layer in enumerate(program.layers) if not layer.is_view]
    kernels = [_kernel(program, copy) for copy in dict.fromkeys(program.copies.values())]
    return "\n\n".join([NOTICE, "\n".join(includes), *kernels, *functions, _run(program)]) + "\n"


def weights(program: Program) -> tuple[str, str]:
    """`<name>_weights.h` and `<name>_weights.c`: the constants, declared and defined."""
    constants = [(constant, program.prefix(step)) for step, layer in enumerate(program.layers) for constant in layer.constants]
    guard = f"EDGEPRESS_{program.name.upper()}_WEIGHTS_H"
    declared = "\n".join(declaration(constant, prefix) for constant, prefix in constants)
    defined = "\n\n".join(definition(constant, prefix) for constant, prefix in constants)
    top = f'#ifndef {guard}\n#define {guard}\n\n#include "edgepress_common.h"\n\n'
    return f"{NOTICE}\n{top}{declared}\n\n#endif\n", f'{NOTICE}\n#include "{program.name}_weights.h"\n\n{defined}\n'


def _tensors(program: Program, indices: Sequence[int]) -> list[Tensor]:
    return [program.graph.tensors[index] for index in indices]


def _sizes(upper: str, kind: str, tensors: Sequence[Tensor]) -> str:
    lines = [f"#define {upper}_{kind}_{position}_ELEMENTS {tensor.elements}\n" for position, tensor in enumerate(tensors)]
    return "".join(lines)


def _convenience(program: Program) -> str:
    """A typed call for networks with one input and one output."""
    inputs, outputs = _tensors(program, program.graph.inputs), _tensors(program, program.graph.outputs)
    if len(inputs) != 1 or len(outputs) != 1:
        return ""
    name = program.name
    given, made = C_TYPES[inputs[0].dtype], C_TYPES[outputs[0].dtype]
    return (
        f"static inline void {name}_invoke(const {given} *input, {made} *output, void *arena) {{\n"
        "    const void *const inputs[1] = {input};\n"
        "    void *const outputs[1] = {output};\n"
        f"    {name}_run(inputs, outputs, arena);\n}}"
    )


def _function(program: Program, step: int) -> str:
    operator, layer = program.graph.operators[step], program.layers[step]
    tensors = program.graph.tensors
    computed = [tensors[index] for index in operator.inputs if index in program.memory.places]
    parameters = [f"const {C_TYPES[tensor.dtype]} *x{number}" for number, tensor in enumerate(computed)]
    parameters += [f"{C_TYPES[tensors[index].dtype]} *y{number}" for number, index in enumerate(operator.outputs)]
    parameters += ["int8_t *scratch"] if layer.scratch_bytes else []
    parameters += ["int32_t stripe"] if program.memory.stream is not None and step in program.memory.stream else []
    names = {constant.name: program.prefix(step) + constant.name for constant in layer.constants}
    label = comment(tensors[operator.outputs[0]].name)
    return (
        f"/* {operator.name}: {label} */\n"
        f"EP_LAYER void {program.function(step)}({', '.join(parameters)}) {{\n    {qualify(_body(program, step), names)}\n}}"
    )


def _body(program: Program, step: int) -> str:
    """The layer's own text, its kernel, or the call of the copy that it shares."""
    layer, copy = program.layers[step], program.copies.get(step)
    if layer.kernel is None:
        return layer.body
    if program.memory.stream is not None and step in program.memory.stream and copy is not None:
        return _stripes(program, step, program.memory.stream, layer.kernel, copy)
    if copy is None:
        return _kernel_call(layer.kernel, layer.kernel.members)
    if not copy.varying:
        return f"{program.kernel(copy)}({', '.join(layer.kernel.pointers)});"
    values = ", ".join(literal(layer.kernel.members[member]) for member in copy.varying)
    return (
        f"static const int32_t shape[{len(copy.varying)}] = {{{values}}};\n"
        f"    {program.kernel(copy)}(shape, {', '.join(layer.kernel.pointers)});"
    )


def _stripes(program: Program, step: int, stream: Stream, kernel: Kernel, copy: Copy) -> str:
    """A stripe of a layer: the rows that stay are moved to the front of its output, and the kernel's new ones follow."""
    operator, tensors = program.graph.operators[step], program.graph.tensors
    source, output = (tensors[index].elements // tensors[index].shape[1] for index in (operator.inputs[0], operator.outputs[0]))
    rows = []
    for part, call in zip(stream.parts[step - stream.first], program.calls(step, kernel), strict=True):
        places = (part.leave * output, part.stay * output * bool(part.leave), part.read * source, part.stay * output)
        rows.append(", ".join(literal(value) for value in (*places, *(call.members[member] for member in copy.varying))))
    pointers = {"x0": "x0 + at[2]", "y0": "y0 + at[3]"}
    arguments = ", ".join([*(["at + 4"] if copy.varying else []), *(pointers.get(name, name) for name in kernel.pointers)])
    table = ",\n        ".join(f"{{{row}}}" for row in rows)
    return (
        f"static const int32_t stripes[{len(rows)}][{4 + len(copy.varying)}] = {{\n        {table},\n    }};\n"
        "    const int32_t *const at = stripes[stripe];\n"
        f"    ep_move_forward(y0, y0 + at[0], at[1] * (int32_t)sizeof *y0);\n    {program.kernel(copy)}({arguments});"
    )


def _kernel(program: Program, copy: Copy) -> str:
    """A kernel's code for several layers."""
    kernel = copy.kernel
    parameters = [f"{'' if name[0] == 'y' or name == 'scratch' else 'const '}void *{name}" for name in kernel.pointers]
    parameters = ["const int32_t *shape", *parameters] if copy.varying else parameters
    members: dict[str, int | str] = {**kernel.members, **{member: f"shape[{place}]" for place, member in enumerate(copy.varying)}}
    steps = ", ".join(f"{step:02d}" for step in copy.steps)
    return (
        f"/* Layers {steps}{': ' * bool(copy.varying)}{', '.join(copy.varying)} */\n"
        f"EP_LAYER void {program.kernel(copy)}({', '.join(parameters)}) {{\n"
        f"    {_kernel_call(kernel, members)}\n}}"
    )


def _kernel_call(kernel: Kernel, members: Mapping[str, int | str]) -> str:
    return f"{kernel.function}({structure(kernel.structure, **members)},\n        {', '.join(kernel.arguments)});"


def _run(program: Program) -> str:
    stream, lines = program.memory.stream, []
    for step, layer in enumerate(program.layers):
        if stream is not None and step == stream.first:
            lines.append(f"for (int32_t stripe = 0; stripe < {stream.stripes}; stripe++) {{")
        if not layer.is_view:
            lines.append(("    " if stream is not None and step in stream else "") + _call(program, step))
        if stream is not None and step == stream.last:
            lines.append("}")
    for position, index in program.memory.copies:
        tensor = program.graph.tensors[index]
        size = tensor.elements * sizeof(tensor)
        lines.append(f"memcpy(outputs[{position}], {program.memory.places[index]}, {size});")
    text = "\n    ".join(lines)
    memory = "int8_t *const memory = arena;\n    (void)memory;\n    (void)inputs;\n    "
    return f"void {program.name}_run(const void *const inputs[], void *const outputs[], void *arena) {{\n    {memory}{text}\n}}"


def _call(program: Program, step: int) -> str:
    operator, layer, memory = program.graph.operators[step], program.layers[step], program.memory
    arguments = [f"(const void *)({memory.places[index]})" for index in operator.inputs if index in memory.places]
    arguments += [f"(void *)({memory.places[index]})" for index in operator.outputs]
    arguments += [f"memory + {memory.scratch[step]}"] if layer.scratch_bytes else []
    arguments += ["stripe"] if memory.stream is not None and step in memory.stream else []
    return f"{program.function(step)}({', '.join(arguments)});"


def sizeof(tensor: Tensor) -> int:
    """Bytes of one number."""
    return np.dtype(tensor.dtype).itemsize
