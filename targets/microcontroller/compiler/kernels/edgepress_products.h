/* Fully connected with weights [out][in] that are computed, int8. */
#ifndef EDGEPRESS_PRODUCTS_H
#define EDGEPRESS_PRODUCTS_H

#include "edgepress_fully_connected.h"

typedef struct {
    int32_t rows, inputs, outputs;
    int32_t input_zero_point, weights_zero_point, output_zero_point, lowest, highest;
    int64_t multiplier;
    int32_t shift;
} ep_products_t;

EP_INLINE void ep_products(const ep_products_t s, const int8_t *input, const int8_t *weights, const int32_t *bias, int8_t *output) {
    for (int32_t row = 0; row < s.rows; row++) {
        for (int32_t channel = 0; channel < s.outputs; channel++) {
            int32_t sum = bias[channel];
            for (int32_t i = 0; i < s.inputs; i++) {
                sum += (input[row * s.inputs + i] - s.input_zero_point) * (weights[channel * s.inputs + i] - s.weights_zero_point);
            }
            const int32_t result = ep_requantize_wide(sum, s.multiplier, s.shift) + s.output_zero_point;
            *output++ = (int8_t)ep_clamp(result, s.lowest, s.highest);
        }
    }
}

#endif
