"""Cycles against the worked examples and formulas of the cores' manuals."""

import numpy as np
import pytest

from targets.microcontroller import cores
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


def instructions(*code):
    return Thumb().block(bytes.fromhex("".join(code)))


def cycles(core, *code, executions=1, fallthroughs=0):
    known = cores.load(core)
    return TIMINGS.load(known.timing)(known.cycles).cycles(instructions(*code), executions, fallthroughs)


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
