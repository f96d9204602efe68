"""Cycles against the worked examples and formulas of the cores' manuals."""

import numpy as np
import pytest

from targets.microcontroller import cores
from targets.microcontroller.decoders import DECODERS
from targets.microcontroller.decoders.riscv import Riscv
from targets.microcontroller.decoders.thumb import Thumb
from targets.microcontroller.timing import TIMINGS

LDR_R0_R1, LDR_R2_R3, LDR_R2_R0 = "0868", "1a68", "0268"
LDR_R0_R1_UPDATE, LDR_R2_R1 = "51f8040b", "0a68"
STR_R0_R3, ADD_R4_R5, ADDS_R0_R0_R0, ADDS_R6_R7_R5 = "1860", "2c44", "0018", "7e19"
PUSH_R4_R5_LR, POP_R4_R5_PC, BX_LR, BL, BEQ = "30b5", "30bd", "7047", "00f000f8", "00d0"
MULS_R0_R1, MLA, SMLAD, SMLAL, SDIV, LDRD = "4843", "01fb0230", "21fb0230", "c1fb0201", "91fbf2f0", "d1e90023"
LDRSB_R0_R1, STRB_INDEXED, LDM_4, NOP, ADDS_W, VLDR, VMLA, VADD = (
    "91f90000",
    "8854",
    "0fc9",
    "00bf",
    "10eb4100",
    "90ed000a",
    "00ee810a",
    "30ee810a",
)
VLDRB_Q2, VLDRB_Q3, VLDRW_Q3_POST, VADD_Q2_Q3_Q2, VMUL_Q2_Q2_Q3, VSTRB_Q2 = (
    "95ed005e",
    "96ed007e",
    "b0ec047f",
    "26ef4448",
    "24ef5649",
    "87ed005e",
)
VMLAVA_R0, VRSHL_Q2, LETP, LE, DLS, ADDS_R7_1, UXTB_R3_R3, CSEL, VCTP, VPST = (
    "f4ee260f",
    "24ef4445",
    "1ff015c0",
    "0ff007c8",
    "48f001e0",
    "7f1c",
    "dbb2",
    "53ea9782",
    "22f001e8",
    "71fe4d0f",
)
LW_A1_A0, ADDI_A1_A1, C_ADD_A2_A3, MUL_A0, MULH_A0, DIV_A0, C_BEQZ_A0, C_J, C_JR_RA, BNE = (
    "83250500",
    "93851500",
    "3696",
    "3305b502",
    "3315b502",
    "3345b502",
    "01c1",
    "01a0",
    "8280",
    "e31ad5fe",
)


def instructions(*code):
    return Thumb().block(bytes.fromhex("".join(code)))


def cycles(core, *code, executions=1, fallthroughs=0):
    known = cores.load(core)
    block = DECODERS.load(known.decoder)().block(bytes.fromhex("".join(code)))
    return TIMINGS.load(known.timing)(known.cycles).cycles(block, executions, fallthroughs)


@pytest.mark.parametrize(
    ("core", "code", "expected"),
    [
        ("cortex-m4", [LDR_R0_R1], 2),
        ("cortex-m4", [LDR_R0_R1, LDR_R2_R3], 3),  # DDI 0439B 3.3.2: "normally three cycles total"
        ("cortex-m4", [LDR_R0_R1, STR_R0_R3], 3),  # likewise
        ("cortex-m4", [LDR_R0_R1, LDR_R2_R0], 4),  # the result is the next address
        ("cortex-m4", [LDR_R0_R1, ADD_R4_R5, LDR_R2_R3], 5),
        ("cortex-m4", [ADDS_R0_R0_R0, LDR_R2_R0], 1 + 1 + 2),  # no forwarding to an address
        ("cortex-m4", [LDR_R0_R1_UPDATE, LDR_R0_R1], 3),  # the base is known before the data
        ("cortex-m4", [STR_R0_R3], 1),
        ("cortex-m4", [LDRSB_R0_R1, STRB_INDEXED], 3),
        ("cortex-m4", [LDRD], 3),
        ("cortex-m4", [LDM_4], 5),
        ("cortex-m4", [PUSH_R4_R5_LR], 4),
        ("cortex-m4", [MULS_R0_R1, MLA, SMLAD, SMLAL], 4),
        ("cortex-m4", [SDIV], 7),
        ("cortex-m4", [VLDR, VADD, VMLA], 6),
        ("cortex-m4", [BX_LR], 3),
        ("cortex-m3", [MULS_R0_R1, MLA, SMLAL], 1 + 2 + 5),
        ("cortex-m0plus", [LDR_R0_R1, LDR_R2_R3], 4),
        ("cortex-m0plus", [STR_R0_R3, MULS_R0_R1], 3),
        ("cortex-m0plus", [PUSH_R4_R5_LR], 4),
        ("cortex-m0plus", [POP_R4_R5_PC], 3 + 2),
        ("cortex-m0plus", [BL], 3),
        ("cortex-m0plus", [BX_LR], 2),
    ],
)
def test_published_cycles(core, code, expected):
    assert cycles(core, *code) == expected


def test_only_a_taken_branch_reloads_the_pipeline():
    assert cycles("cortex-m4", ADD_R4_R5, BEQ, executions=10, fallthroughs=4) == 10 * 2 + 6 * 2
    assert cycles("cortex-m0plus", ADD_R4_R5, BEQ, executions=10, fallthroughs=4) == 10 * 2 + 6


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ([ADD_R4_R5], 1),
        ([ADD_R4_R5, ADDS_R0_R0_R0], 1),  # a pair
        ([ADDS_R0_R0_R0, ADDS_R0_R0_R0], 2),  # the second waits for the first
        ([MULS_R0_R1, ADD_R4_R5], 1),
        ([MULS_R0_R1, SMLAD], 2),  # one multiplier
        ([LDR_R0_R1, LDR_R2_R3], 1),  # two load units
        ([LDR_R0_R1, LDR_R2_R0], 3),  # an address is needed a cycle early
        ([LDR_R0_R1_UPDATE, LDR_R2_R1], 2),  # the written-back base comes a cycle before the data
        ([LDRD, ADD_R4_R5], 2),  # issues alone
        ([LDM_4, ADD_R4_R5], 3),  # 64 bits a cycle
        ([SDIV, ADD_R4_R5], 8),
        ([ADD_R4_R5, ADDS_W], 1),
    ],
)
def test_dual_issue_follows_units_and_latencies(code, expected):
    assert cycles("cortex-m7", *code) == expected


def test_the_rarer_way_of_a_branch_is_mispredicted():
    assert cycles("cortex-m7", ADD_R4_R5, BEQ, executions=10, fallthroughs=1) == 10 + 4
    assert cycles("cortex-m7", ADD_R4_R5, BEQ, executions=10, fallthroughs=9) == 10 + 4


def test_two_issue_slots_never_beat_two_instructions_a_cycle():
    generator = np.random.default_rng(0)
    pool = [LDR_R0_R1, LDR_R2_R3, ADD_R4_R5, ADDS_R6_R7_R5, MULS_R0_R1, SMLAD, STR_R0_R3, NOP]
    for _ in range(100):
        code = generator.choice(pool, 9)
        assert 5 <= cycles("cortex-m7", *code) <= cycles("cortex-m4", *code) + 9


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ([VLDRB_Q2, VADD_Q2_Q3_Q2, VMUL_Q2_Q2_Q3, ADD_R4_R5], 4),  # each starts behind the first beat of the one before
        ([VLDRB_Q2, VLDRB_Q3, ADD_R4_R5], 4),  # both take the load pipeline for two beats
        ([VLDRB_Q2, VLDRB_Q3, VADD_Q2_Q3_Q2, VSTRB_Q2], 5),  # the example at the top of LLVM's model: the last beat is in the sixth
        ([VRSHL_Q2, VADD_Q2_Q3_Q2], 3),  # a rounding shift's result comes a cycle later
        ([VLDRW_Q3_POST, LDR_R0_R1], 3),  # scalar loads take the same pipeline
        ([VMLAVA_R0, ADDS_R0_R0_R0], 3),
        ([VCTP, VPST, VLDRB_Q2], 3),
        ([ADDS_R0_R0_R0, ADDS_R7_1], 1),  # an addition of a constant goes with any other of 16 bits
        ([ADDS_R7_1, UXTB_R3_R3, ADDS_R7_1], 2),
        ([ADD_R4_R5, ADDS_R6_R7_R5], 2),  # additions of registers don't
        ([ADDS_R0_R0_R0, ADDS_W], 2),
        ([LDR_R0_R1, ADDS_R0_R0_R0], 3),  # a load's result comes a cycle later
        ([LDM_4, ADD_R4_R5], 3),  # 64 bits a cycle
        ([SDIV, CSEL], 8),
        ([VLDR, VMLA, VADD], 4),  # a float that was loaded, too
    ],
)
def test_vector_instructions_overlap_where_their_pipelines_differ(code, expected):
    assert cycles("cortex-m55", *code) == expected


def test_a_low_overhead_loop_costs_its_branch_once():
    body = [VLDRB_Q2, VLDRB_Q3, VMLAVA_R0]
    assert cycles("cortex-m55", *body, LETP, executions=10, fallthroughs=1) == 10 * 4 + 1 + 3
    assert cycles("cortex-m55", *body, LE, executions=10, fallthroughs=2) == 10 * 4 + 2 * (1 + 3)
    assert cycles("cortex-m55", *body, BEQ, executions=10, fallthroughs=1) == 10 * 5 + 9 * 3
    assert cycles("cortex-m55", DLS, ADD_R4_R5) == 2


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ([LW_A1_A0, C_ADD_A2_A3, ADDI_A1_A1], 3),
        ([LW_A1_A0, ADDI_A1_A1], 3),  # what was loaded comes a cycle later
        ([MUL_A0, C_ADD_A2_A3], 2),
        ([MULH_A0], 5),
        ([DIV_A0], 19),
        ([C_J], 2),
        ([C_JR_RA], 2),
        ([C_ADD_A2_A3, C_BEQZ_A0], 1 + 3),
        ([C_ADD_A2_A3, BNE], 1 + 3),
    ],
)
def test_cycles_of_four_stages_of_risc_v(code, expected):
    assert cycles("rv32imc", *code) == expected


def test_every_compressed_instruction_without_floats_has_a_class():
    """The "C" chapter's table: all of quadrants 0 to 2 but reserved ones, floats (001, 011, 101, 111 of 0 and 2) and zero."""
    known = {code for quadrant in range(3) for code in range(quadrant, 1 << 16, 4) if risc_v(code).operation != "unknown"}
    integers = {(0, 0), (0, 2), (0, 6), (2, 0), (2, 2), (2, 4), (2, 6)} | {(1, function) for function in range(8)}
    assert {(code & 3, code >> 13) for code in known} == integers
    assert len(known) == len(integers) << 11


def risc_v(code):
    (instruction,) = Riscv().block(code.to_bytes(2, "little"))
    return instruction


def test_every_16_bit_instruction_that_is_defined_has_a_class():
    """Armv7-M leaves no 16-bit encoding without a meaning but 0xB1xx's neighbours (0xB6, 0xB8, 0xBB's holes) and 0xBAxx with 10."""
    unknown = {first >> 8 for first in range(0xE800) if instructions(first.to_bytes(2, "little").hex())[0].operation == "unknown"}
    assert unknown <= {0xB6, 0xB7, 0xB8}


def test_registers_are_read_from_scattered_fields():
    (instruction,) = instructions("ee46")  # mov lr, sp... the destination's top bit lies apart
    assert instruction.writes == (14,)
    (load,) = instructions(VMLA)
    assert load.operation == "fp_multiply_accumulate"
    assert load.writes == load.accumulator
