/* Softmax over the last axis, int8, in gemmlowp's fixed point. `exponentials[d]` is exp(-d * beta * scale) in Q0.31 for the difference d
   between a row's largest number and another; beyond the table it counts as 0. */
#ifndef EDGEPRESS_SOFTMAX_H
#define EDGEPRESS_SOFTMAX_H

#include "edgepress_fixed_point.h"

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
        const int32_t shift = 12 - zeros + 23; /* beyond 31, with hundreds of numbers alike, all are below half a step */
        const int32_t scale = ep_reciprocal((int32_t)(((uint32_t)sum << zeros) - 0x80000000u));
        for (int32_t i = 0; i < depth; i++) {
            const int32_t difference = largest - input[i];
            int32_t result = INT8_MIN;
            if (difference < differences && shift <= 31) {
                result += ep_rounding_shift(ep_multiply_high(scale, exponentials[difference]), shift);
            }
            output[i] = (int8_t)ep_clamp(result, INT8_MIN, INT8_MAX);
        }
        input += depth;
        output += depth;
    }
}

#endif
