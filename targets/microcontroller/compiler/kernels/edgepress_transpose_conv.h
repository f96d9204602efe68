/* Transposed convolution, int8, NHWC, weights [out][height][width][in]: every output gathers the inputs that spread to it. */
#ifndef EDGEPRESS_TRANSPOSE_CONV_H
#define EDGEPRESS_TRANSPOSE_CONV_H

#include "edgepress_common.h"

/* The sizes are those of the convolution that this one is the transpose of: `input` is what it makes, here what is made. */
typedef struct {
    int32_t input_height, input_width, output_height, output_width;
    int32_t kernel_height, kernel_width, stride_height, stride_width, pad_top, pad_left;
    int32_t input_channels, output_channels;
    int32_t input_zero_point, output_zero_point, lowest, highest;
} ep_transpose_conv_t;

/* The sum for one number of the output at (y, x), counted with the padding. */
EP_INLINE int32_t ep_transpose_conv_sum(const ep_transpose_conv_t s, int32_t y, int32_t x, const int8_t *input, const int8_t *weights) {
    int32_t sum = 0;
    for (int32_t ky = y % s.stride_height; ky < s.kernel_height && ky <= y; ky += s.stride_height) {
        const int32_t row = (y - ky) / s.stride_height;
        for (int32_t kx = x % s.stride_width; kx < s.kernel_width && kx <= x; kx += s.stride_width) {
            const int32_t column = (x - kx) / s.stride_width;
            if (row < s.output_height && column < s.output_width) {
                const int8_t *from = input + (row * s.output_width + column) * s.input_channels;
                const int8_t *w = weights + (ky * s.kernel_width + kx) * s.input_channels;
                for (int32_t i = 0; i < s.input_channels; i++) {
                    sum += (from[i] - s.input_zero_point) * w[i];
                }
            }
        }
    }
    return sum;
}

EP_INLINE void ep_transpose_conv(const ep_transpose_conv_t s, const int8_t *input, const int8_t *weights, const int32_t *bias,
                                 const int32_t *multiplier, const int8_t *shift, int8_t *output) {
    const int32_t taps = s.kernel_height * s.kernel_width * s.input_channels;
    for (int32_t y = 0; y < s.input_height; y++) {
        for (int32_t x = 0; x < s.input_width; x++) {
            for (int32_t channel = 0; channel < s.output_channels; channel++) {
                const int32_t sum = ep_transpose_conv_sum(s, y + s.pad_top, x + s.pad_left, input, weights + channel * taps);
                const int32_t result = ep_requantize(sum + bias[channel], multiplier[channel], shift[channel]);
                *output++ = (int8_t)ep_clamp(result + s.output_zero_point, s.lowest, s.highest);
            }
        }
    }
}

#endif
