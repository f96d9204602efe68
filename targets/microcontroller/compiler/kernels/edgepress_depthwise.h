/* Depthwise convolution, int8, weights [channel][height][width]. Works channel by channel on a padded copy of that channel's plane, so the
   output may overwrite the input where both have the same shape. The input's zero point is folded into the bias. */
#ifndef EDGEPRESS_DEPTHWISE_H
#define EDGEPRESS_DEPTHWISE_H

#include "edgepress_conv.h"

EP_INLINE void ep_plane(const ep_conv_t s, const int8_t *input, int32_t plane_height, int32_t plane_width, int8_t *plane) {
    for (int32_t y = 0; y < plane_height; y++) {
        const int32_t row = y - s.pad_top;
        for (int32_t x = 0; x < plane_width; x++) {
            const int32_t column = x - s.pad_left;
            const int32_t inside = row >= 0 && row < s.input_height && column >= 0 && column < s.input_width;
            *plane++ = inside ? input[(row * s.input_width + column) * s.input_channels] : (int8_t)s.input_zero_point;
        }
    }
}

EP_INLINE void ep_depthwise(const ep_conv_t s, const int8_t *input, const int8_t *weights, const int32_t *bias, const int32_t *multiplier,
                            const int8_t *shift, int8_t *scratch, int8_t *output) {
    const int32_t plane_height = (s.output_height - 1) * s.stride_height + (s.kernel_height - 1) * s.dilation_height + 1;
    const int32_t plane_width = (s.output_width - 1) * s.stride_width + (s.kernel_width - 1) * s.dilation_width + 1;
    const int32_t repeats = s.output_channels / s.input_channels;
    for (int32_t channel = 0; channel < s.output_channels; channel++) {
        if (channel % repeats == 0) {
            ep_plane(s, input + channel / repeats, plane_height, plane_width, scratch);
        }
        int8_t *out = output + channel;
        for (int32_t oy = 0; oy < s.output_height; oy++) {
            for (int32_t ox = 0; ox < s.output_width; ox++) {
                int32_t sum = bias[channel];
                const int8_t *w = weights + channel * s.kernel_height * s.kernel_width;
                for (int32_t ky = 0; ky < s.kernel_height; ky++) {
                    const int8_t *row = scratch + (oy * s.stride_height + ky * s.dilation_height) * plane_width + ox * s.stride_width;
                    for (int32_t kx = 0; kx < s.kernel_width; kx++) {
                        sum += row[kx * s.dilation_width] * *w++;
                    }
                }
                *out = ep_conv_output(s, sum, multiplier[channel], shift[channel]);
                out += s.output_channels;
            }
        }
    }
}

#endif
