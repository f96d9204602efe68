/* Sums and means over axes. */
#ifndef EDGEPRESS_REDUCE_T_H
#define EDGEPRESS_REDUCE_T_H

#include "edgepress_number_T.h"

/* Three loops over what is kept, three over what is reduced, and how far the input goes on in each. */
typedef struct {
    int32_t keep0, keep1, keep2, reduce0, reduce1, reduce2;
    int32_t keep_step0, keep_step1, keep_step2, reduce_step0, reduce_step1, reduce_step2;
    int32_t offset, multiplier, shift, output_zero_point;
} ep_reduce_T_t;

EP_INLINE void ep_reduce_sum_T(const ep_reduce_T_t s, const element_t *input, element_t *output) {
    for (int32_t a = 0; a < s.keep0; a++) {
        for (int32_t b = 0; b < s.keep1; b++) {
            for (int32_t c = 0; c < s.keep2; c++) {
                const element_t *from = input + a * s.keep_step0 + b * s.keep_step1 + c * s.keep_step2;
                number_t sum = (number_t)s.offset;
                for (int32_t i = 0; i < s.reduce0; i++) {
                    for (int32_t j = 0; j < s.reduce1; j++) {
                        for (int32_t k = 0; k < s.reduce2; k++) {
                            sum += from[i * s.reduce_step0 + j * s.reduce_step1 + k * s.reduce_step2];
                        }
                    }
                }
                *output++ = ep_saturated_T(ep_requantize_N(sum, s.multiplier, s.shift) + (number_t)s.output_zero_point);
            }
        }
    }
}

#endif
