/* Convolutions, int8 activations and weights, weights [out][height][width][in]. The input's zero point is folded into the bias,
   so what lies outside of the input counts as the zero point. */
#ifndef EDGEPRESS_CONV_H
#define EDGEPRESS_CONV_H

#include "edgepress_common.h"

typedef struct {
    int32_t input_height, input_width, input_channels;
    int32_t output_height, output_width, output_channels;
    int32_t kernel_height, kernel_width, stride_height, stride_width, dilation_height, dilation_width, pad_top, pad_left;
    int32_t input_zero_point, output_zero_point, lowest, highest, small;
} ep_conv_t;

EP_INLINE int8_t ep_conv_output(const ep_conv_t s, int32_t sum, int32_t multiplier, int32_t shift) {
    const int32_t scaled = s.small ? ep_requantize_small(sum, multiplier, shift) : ep_requantize(sum, multiplier, shift);
    return (int8_t)ep_clamp(scaled + s.output_zero_point, s.lowest, s.highest);
}

/* The input under the kernel at one output position, [height][width][in]. */
EP_INLINE void ep_patch(const ep_conv_t s, const int8_t *input, int32_t top, int32_t left, int8_t *patch) {
    for (int32_t ky = 0; ky < s.kernel_height; ky++) {
        const int32_t y = top + ky * s.dilation_height;
        for (int32_t kx = 0; kx < s.kernel_width; kx++) {
            const int32_t x = left + kx * s.dilation_width;
            if (y >= 0 && y < s.input_height && x >= 0 && x < s.input_width) {
                memcpy(patch, input + (y * s.input_width + x) * s.input_channels, (size_t)s.input_channels);
            } else {
                memset(patch, s.input_zero_point, (size_t)s.input_channels);
            }
            patch += s.input_channels;
        }
    }
}

EP_INLINE void ep_conv(const ep_conv_t s, const int8_t *input, const int8_t *weights, const int32_t *bias, const int32_t *multiplier,
                       const int8_t *shift, int8_t *scratch, int8_t *output) {
    const int32_t size = s.kernel_height * s.kernel_width * s.input_channels;
    const int32_t pointwise = s.kernel_height == 1 && s.kernel_width == 1 && s.pad_top == 0 && s.pad_left == 0;
    for (int32_t oy = 0; oy < s.output_height; oy++) {
        for (int32_t ox = 0; ox < s.output_width; ox++) {
            const int32_t top = oy * s.stride_height - s.pad_top;
            const int32_t left = ox * s.stride_width - s.pad_left;
            memcpy(scratch, input + (top * s.input_width + left) * s.input_channels, pointwise ? (size_t)size : 0);
            if (!pointwise) {
                ep_patch(s, input, top, left, scratch);
            }
            const int8_t *w = weights;
            for (int32_t channel = 0; channel < s.output_channels; channel++) {
                int32_t sum = bias[channel];
                for (int32_t i = 0; i < size; i++) {
                    sum += scratch[i] * w[i];
                }
                w += size;
                *output++ = ep_conv_output(s, sum, multiplier[channel], shift[channel]);
            }
        }
    }
}

#endif
