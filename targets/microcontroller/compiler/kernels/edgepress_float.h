/* Between float and int8. */
#ifndef EDGEPRESS_FLOAT_H
#define EDGEPRESS_FLOAT_H

#include "edgepress_common.h"

/* Rounded half away from zero and saturated. */
EP_INLINE void ep_quantize(int32_t size, float scale, int32_t zero_point, const float *input, int8_t *output) {
    for (int32_t i = 0; i < size; i++) {
        const float ratio = input[i] / scale;
        const float steps = ratio > 1024.0F ? 1024.0F : ratio > -1024.0F ? ratio : -1024.0F;
        const int32_t whole = (int32_t)steps;
        const float rest = steps - (float)whole;
        const int32_t rounded = whole + (rest >= 0.5F) - (rest <= -0.5F);
        output[i] = (int8_t)ep_clamp(rounded + zero_point, INT8_MIN, INT8_MAX);
    }
}

EP_INLINE void ep_dequantize(int32_t size, float scale, int32_t zero_point, const int8_t *input, float *output) {
    for (int32_t i = 0; i < size; i++) {
        output[i] = scale * (float)(input[i] - zero_point);
    }
}

#endif
