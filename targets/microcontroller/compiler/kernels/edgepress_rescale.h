/* Operators of one input whose integers are multiplied and kept between limits, from int8 or int16 to either. */
#ifndef EDGEPRESS_RESCALE_H
#define EDGEPRESS_RESCALE_H

#include "edgepress_common.h"

typedef struct {
    int32_t size, from_wide, to_wide; /* whether input and output are int16 */
    int32_t input_zero_point, output_zero_point, lowest, highest;
    int32_t multiplier, shift, below_multiplier, below_shift, below_sign; /* the latter for numbers below the zero point */
} ep_rescale_t;

EP_INLINE void ep_rescale(const ep_rescale_t s, const void *input, void *output) {
    for (int32_t i = 0; i < s.size; i++) {
        const int32_t x = (s.from_wide ? ((const int16_t *)input)[i] : ((const int8_t *)input)[i]) - s.input_zero_point;
        const int32_t scaled = x >= 0 ? ep_requantize(x, s.multiplier, s.shift) : s.below_sign * ep_requantize(x, s.below_multiplier, s.below_shift);
        const int32_t result = ep_clamp(scaled + s.output_zero_point, s.lowest, s.highest);
        if (s.to_wide) {
            ((int16_t *)output)[i] = (int16_t)result;
        } else {
            ((int8_t *)output)[i] = (int8_t)result;
        }
    }
}

#endif
