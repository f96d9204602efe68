/* Fully connected, int8, weights [out][in]. The input's zero point is folded into the bias. */
#ifndef EDGEPRESS_FULLY_CONNECTED_H
#define EDGEPRESS_FULLY_CONNECTED_H

#include "edgepress_mve.h"
#include "edgepress_nibbles.h"

typedef struct {
    int32_t rows, inputs, outputs;
    int32_t output_zero_point, lowest, highest;
    int32_t nibbles; /* whether weights have 4 bits, two a byte */
} ep_fully_connected_t;

/* sum * multiplier / 2^shift, rounded half up; 1 <= shift <= 62 and the product has at most 63 bits. */
EP_INLINE int32_t ep_requantize_wide(int32_t sum, int64_t multiplier, int32_t shift) {
    const int64_t result = (sum * multiplier + ((int64_t)1 << (shift - 1))) >> shift;
    return result > INT16_MAX ? INT16_MAX : result < INT16_MIN ? INT16_MIN : (int32_t)result;
}

EP_INLINE void ep_fully_connected(const ep_fully_connected_t s, const int8_t *input, const int8_t *weights, const int32_t *bias,
                                  const int64_t *multiplier, const int8_t *shift, int8_t *output) {
    for (int32_t row = 0; row < s.rows; row++) {
        const int8_t *w = weights;
        for (int32_t channel = 0; channel < s.outputs; channel++) {
            int32_t sum = bias[channel];
            sum = s.nibbles ? ep_dot_nibbles(input, w, s.inputs, sum) : ep_dot_bytes(input, w, s.inputs, sum);
            w += s.nibbles ? (s.inputs + 1) / 2 : s.inputs;
            sum = ep_requantize_wide(sum, multiplier[channel], shift[channel]) + s.output_zero_point;
            *output++ = (int8_t)ep_clamp(sum, s.lowest, s.highest);
        }
        input += s.inputs;
    }
}

#endif
