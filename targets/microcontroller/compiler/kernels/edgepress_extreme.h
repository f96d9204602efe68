/* The largest or smallest number, int8: where it is along an axis, and which it is over several axes. */
#ifndef EDGEPRESS_EXTREME_H
#define EDGEPRESS_EXTREME_H

#include "edgepress_common.h"

/* The input is [lines][size][inner]. */
typedef struct {
    int32_t size, inner;
} ep_extreme_t;

/* The place of the first of the largest or smallest numbers of line i of the lines along the axis. */
EP_INLINE int32_t ep_extreme(const ep_extreme_t s, int32_t largest, int32_t i, const int8_t *input) {
    const int8_t *from = input + i / s.inner * s.size * s.inner + i % s.inner;
    int32_t best = 0;
    for (int32_t j = 1; j < s.size; j++) {
        const int32_t difference = from[j * s.inner] - from[best * s.inner];
        best = (largest ? difference > 0 : difference < 0) ? j : best;
    }
    return best;
}

/* Three loops over what is kept, three over what is reduced, and how far the input goes on in each. */
typedef struct {
    int32_t keep0, keep1, keep2, reduce0, reduce1, reduce2;
    int32_t keep_step0, keep_step1, keep_step2, reduce_step0, reduce_step1, reduce_step2;
} ep_extremes_t;

EP_INLINE int8_t ep_extreme_of(const ep_extremes_t s, int32_t largest, const int8_t *from) {
    int32_t best = *from;
    for (int32_t i = 0; i < s.reduce0; i++) {
        for (int32_t j = 0; j < s.reduce1; j++) {
            for (int32_t k = 0; k < s.reduce2; k++) {
                const int32_t x = from[i * s.reduce_step0 + j * s.reduce_step1 + k * s.reduce_step2];
                best = largest ? ep_max(best, x) : ep_min(best, x);
            }
        }
    }
    return (int8_t)best;
}

EP_INLINE void ep_extremes(const ep_extremes_t s, int32_t largest, const int8_t *input, int8_t *output) {
    for (int32_t a = 0; a < s.keep0; a++) {
        for (int32_t b = 0; b < s.keep1; b++) {
            for (int32_t c = 0; c < s.keep2; c++) {
                *output++ = ep_extreme_of(s, largest, input + a * s.keep_step0 + b * s.keep_step1 + c * s.keep_step2);
            }
        }
    }
}

#endif
