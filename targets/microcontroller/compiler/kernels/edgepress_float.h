/* Between float and integers. */
#ifndef EDGEPRESS_FLOAT_T_H
#define EDGEPRESS_FLOAT_T_H

#include "edgepress_number_T.h"

/* Rounded half away from zero and saturated. */
EP_INLINE void ep_quantize_T(int32_t size, float scale, int32_t zero_point, const float *input, element_t *output) {
    for (int32_t i = 0; i < size; i++) {
        const float ratio = input[i] / scale;
        const float steps = ratio > 131072.0F ? 131072.0F : ratio > -131072.0F ? ratio : -131072.0F;
        const int32_t whole = (int32_t)steps;
        const float rest = steps - (float)whole;
        const int32_t rounded = whole + (rest >= 0.5F) - (rest <= -0.5F);
        output[i] = ep_saturated_T(rounded + zero_point);
    }
}

EP_INLINE void ep_dequantize_T(int32_t size, float scale, int32_t zero_point, const element_t *input, float *output) {
    for (int32_t i = 0; i < size; i++) {
        output[i] = scale * (float)(input[i] - zero_point);
    }
}

#endif
