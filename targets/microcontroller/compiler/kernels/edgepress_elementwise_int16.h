/* Arithmetic of two int16 numbers, without zero points. */
#ifndef EDGEPRESS_ELEMENTWISE_INT16_H
#define EDGEPRESS_ELEMENTWISE_INT16_H

#include "edgepress_elementwise.h"

/* (x << 15) * multiplier / 2^31 / 2^shift; half is what the larger of two scales gets. */
EP_INLINE int32_t ep_scale_operand_int16(int32_t x, int32_t multiplier, int32_t shift) {
    const int32_t raised = x * (1 << 15);
    return multiplier == 1 << 30 && shift == 0 ? raised / 2 : ep_requantize_small(raised, multiplier, shift);
}

EP_INLINE int32_t ep_binary_one_int16(const ep_binary_t s, char operation, int32_t first, int32_t second) {
    if (operation == '>' || operation == '<') {
        return operation == '>' ? ep_max(first, second) : ep_min(first, second);
    }
    if (operation == '*') {
        return ep_clamp(ep_requantize(first * second, s.output_multiplier, s.output_shift), s.lowest, s.highest);
    }
    if (s.output_multiplier == 0) { /* all scales are powers of two */
        const int32_t x = ep_rounding_shift(first, s.first_shift), y = ep_rounding_shift(second, s.second_shift);
        return ep_clamp(operation == '+' ? x + y : x - y, s.lowest, s.highest);
    }
    const int32_t a = ep_scale_operand_int16(first, s.first_multiplier, s.first_shift);
    const int32_t b = ep_scale_operand_int16(second, s.second_multiplier, s.second_shift);
    return ep_clamp(ep_requantize(operation == '+' ? a + b : a - b, s.output_multiplier, s.output_shift), s.lowest, s.highest);
}

/* The innermost loop. */
EP_INLINE void ep_binary_row_int16(const ep_binary_t s, char operation, const int16_t *first, const int16_t *second, int16_t *output) {
    for (int32_t d = 0; d < s.size3; d++) {
        *output++ = (int16_t)ep_binary_one_int16(s, operation, first[d * s.first3], second[d * s.second3]);
    }
}

#endif
