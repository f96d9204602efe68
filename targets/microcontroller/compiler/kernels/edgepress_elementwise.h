/* Operators that work number by number, int8: tables of one input, arithmetic of two with broadcasting. */
#ifndef EDGEPRESS_ELEMENTWISE_H
#define EDGEPRESS_ELEMENTWISE_H

#include "edgepress_common.h"

/* Every int8 function of one input is a table, in the order of the input's bits: 0 to 127, then -128 to -1. */
EP_INLINE void ep_lookup(int32_t size, const int8_t *input, const int8_t *table, int8_t *output) {
    for (int32_t i = 0; i < size; i++) {
        output[i] = table[(uint8_t)input[i]];
    }
}

/* Sizes of four loops and how far each input goes on in each; 0 repeats it. The output is contiguous. */
typedef struct {
    int32_t size0, size1, size2, size3;
    int32_t first0, first1, first2, first3, second0, second1, second2, second3;
    int32_t first_zero_point, second_zero_point, output_zero_point, lowest, highest;
    int32_t first_multiplier, first_shift, second_multiplier, second_shift, output_multiplier, output_shift;
} ep_binary_t;

/* (x << 20) * multiplier / 2^31 / 2^shift for |x| < 2^9; half is what the larger of two scales gets. */
EP_INLINE int32_t ep_scale_operand(int32_t x, int32_t multiplier, int32_t shift) {
    const int32_t raised = x * (1 << 20);
    return multiplier == 1 << 30 && shift == 0 ? raised / 2 : ep_requantize_small(raised, multiplier, shift);
}

EP_INLINE int32_t ep_add_one(const ep_binary_t s, int32_t first, int32_t second, int32_t sign) {
    const int32_t a = ep_scale_operand(first - s.first_zero_point, s.first_multiplier, s.first_shift);
    const int32_t b = ep_scale_operand(second - s.second_zero_point, s.second_multiplier, s.second_shift);
    return ep_requantize(a + sign * b, s.output_multiplier, s.output_shift);
}

EP_INLINE int32_t ep_multiply_one(const ep_binary_t s, int32_t first, int32_t second) {
    const int32_t product = (first - s.first_zero_point) * (second - s.second_zero_point);
    return ep_requantize(product, s.output_multiplier, s.output_shift);
}

EP_INLINE int32_t ep_binary_one(const ep_binary_t s, char operation, int32_t first, int32_t second) {
    if (operation == '>' || operation == '<') {
        return operation == '>' ? ep_max(first, second) : ep_min(first, second);
    }
    const int32_t result = operation == '*' ? ep_multiply_one(s, first, second) : ep_add_one(s, first, second, operation == '+' ? 1 : -1);
    return ep_clamp(result + s.output_zero_point, s.lowest, s.highest);
}

/* operation: '+', '-', '*', or '>' and '<' for the larger and the smaller of two numbers of one scale. */
EP_INLINE void ep_binary(const ep_binary_t s, char operation, const int8_t *first, const int8_t *second, int8_t *output) {
    for (int32_t a = 0; a < s.size0; a++) {
        for (int32_t b = 0; b < s.size1; b++) {
            for (int32_t c = 0; c < s.size2; c++) {
                const int8_t *x = first + a * s.first0 + b * s.first1 + c * s.first2;
                const int8_t *y = second + a * s.second0 + b * s.second1 + c * s.second2;
                for (int32_t d = 0; d < s.size3; d++) {
                    *output++ = (int8_t)ep_binary_one(s, operation, x[d * s.first3], y[d * s.second3]);
                }
            }
        }
    }
}

#endif
