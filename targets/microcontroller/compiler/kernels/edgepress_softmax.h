/* Softmax over the last axis, int8, in gemmlowp's fixed point. `exponentials[d]` is exp(-d * beta * scale) in Q0.31 for the difference d
   between a row's largest number and another; beyond the table it counts as 0. */
#ifndef EDGEPRESS_SOFTMAX_H
#define EDGEPRESS_SOFTMAX_H

#include "edgepress_common.h"

EP_INLINE int32_t ep_saturating_left_shift(int32_t x, int32_t bits) {
    const int64_t shifted = (int64_t)x * ((int64_t)1 << bits);
    return shifted > INT32_MAX ? INT32_MAX : shifted < INT32_MIN ? INT32_MIN : (int32_t)shifted;
}

/* 1 / (1 + x) in Q0.31 for x in [0, 1) in Q0.31: three steps of Newton and Raphson's method in Q2.29. */
EP_INLINE int32_t ep_reciprocal(int32_t x) {
    const int64_t sum = (int64_t)x + INT32_MAX;
    const int32_t half = (int32_t)((sum + 1) / 2);
    int32_t estimate = 1515870810 + ep_multiply_high(half, -1010580540);
    for (int32_t step = 0; step < 3; step++) {
        const int32_t error = (1 << 29) - ep_multiply_high(half, estimate);
        estimate += ep_saturating_left_shift(ep_multiply_high(estimate, error), 2);
    }
    return ep_saturating_left_shift(estimate, 1);
}

EP_INLINE void ep_softmax(int32_t rows, int32_t depth, const int8_t *input, const int32_t *exponentials, int32_t differences,
                          int8_t *output) {
    for (int32_t row = 0; row < rows; row++) {
        int32_t largest = INT8_MIN;
        for (int32_t i = 0; i < depth; i++) {
            largest = ep_max(largest, input[i]);
        }
        int32_t sum = 0;
        for (int32_t i = 0; i < depth; i++) {
            const int32_t difference = largest - input[i];
            sum += difference < differences ? ep_rounding_shift(exponentials[difference], 12) : 0;
        }
        int32_t zeros = 0;
        while (((uint32_t)sum << zeros) < 0x80000000u) {
            zeros++;
        }
        const int32_t scale = ep_reciprocal((int32_t)(((uint32_t)sum << zeros) - 0x80000000u));
        for (int32_t i = 0; i < depth; i++) {
            const int32_t difference = largest - input[i];
            int32_t result = INT8_MIN;
            if (difference < differences) {
                result += ep_rounding_shift(ep_multiply_high(scale, exponentials[difference]), 12 - zeros + 23);
            }
            output[i] = (int8_t)ep_clamp(result, INT8_MIN, INT8_MAX);
        }
        input += depth;
        output += depth;
    }
}

#endif
