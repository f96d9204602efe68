/* Products of two int8 tensors' matrices. */
#ifndef EDGEPRESS_BATCH_MATMUL_H
#define EDGEPRESS_BATCH_MATMUL_H

#include "edgepress_common.h"

/* Three loops over matrices, and how far each input goes on in each of them (0 to 2), in a row (3) and in a column (4). */
typedef struct {
    int32_t batch0, batch1, batch2, rows, columns, depth;
    int32_t first0, first1, first2, first3, first4, second0, second1, second2, second3, second4;
    int32_t first_zero_point, second_zero_point, output_zero_point, multiplier, shift;
} ep_batch_matmul_t;

EP_INLINE int8_t *ep_matmul(const ep_batch_matmul_t s, const int8_t *first, const int8_t *second, int8_t *output) {
    for (int32_t row = 0; row < s.rows; row++) {
        for (int32_t column = 0; column < s.columns; column++) {
            const int8_t *a = first + row * s.first3;
            const int8_t *b = second + column * s.second4;
            int32_t sum = 0;
            for (int32_t i = 0; i < s.depth; i++) {
                sum += (a[i * s.first4] - s.first_zero_point) * (b[i * s.second3] - s.second_zero_point);
            }
            *output++ = (int8_t)ep_clamp(ep_requantize(sum, s.multiplier, s.shift) + s.output_zero_point, INT8_MIN, INT8_MAX);
        }
    }
    return output;
}

EP_INLINE void ep_batch_matmul(const ep_batch_matmul_t s, const int8_t *first, const int8_t *second, int8_t *output) {
    for (int32_t a = 0; a < s.batch0; a++) {
        for (int32_t b = 0; b < s.batch1; b++) {
            for (int32_t c = 0; c < s.batch2; c++) {
                const int8_t *x = first + a * s.first0 + b * s.first1 + c * s.first2;
                output = ep_matmul(s, x, second + a * s.second0 + b * s.second1 + c * s.second2, output);
            }
        }
    }
}

#endif
