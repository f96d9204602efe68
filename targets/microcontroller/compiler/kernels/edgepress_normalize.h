/* Rows of length 1, int8. */
#ifndef EDGEPRESS_NORMALIZE_H
#define EDGEPRESS_NORMALIZE_H

#include "edgepress_fixed_point.h"

EP_INLINE void ep_l2_normalize(int32_t rows, int32_t depth, int32_t zero_point, const int8_t *input, int8_t *output) {
    for (int32_t row = 0; row < rows; row++) {
        int32_t sum = 0;
        for (int32_t i = 0; i < depth; i++) {
            sum += (input[i] - zero_point) * (input[i] - zero_point);
        }
        int32_t shift = 0;
        const int32_t inverse = ep_inverse_square_root(sum, &shift);
        for (int32_t i = 0; i < depth; i++) {
            output[i] = (int8_t)ep_clamp(ep_requantize(input[i] - zero_point, inverse, shift - 7), INT8_MIN, INT8_MAX);
        }
        input += depth;
        output += depth;
    }
}

#endif
