/* Average and maximum over windows, NHWC. What lies outside of the input doesn't count. */
#ifndef EDGEPRESS_POOL_T_H
#define EDGEPRESS_POOL_T_H

#include "edgepress_number_T.h"

typedef struct {
    int32_t input_height, input_width, channels, output_height, output_width;
    int32_t kernel_height, kernel_width, stride_height, stride_width, pad_top, pad_left;
    int32_t lowest, highest;
} ep_pool_T_t;

EP_INLINE void ep_pool_T(const ep_pool_T_t s, const element_t *input, element_t *output, int32_t average) {
    for (int32_t oy = 0; oy < s.output_height; oy++) {
        const int32_t top = ep_max(oy * s.stride_height - s.pad_top, 0);
        const int32_t bottom = ep_min(oy * s.stride_height - s.pad_top + s.kernel_height, s.input_height);
        for (int32_t ox = 0; ox < s.output_width; ox++) {
            const int32_t left = ep_max(ox * s.stride_width - s.pad_left, 0);
            const int32_t right = ep_min(ox * s.stride_width - s.pad_left + s.kernel_width, s.input_width);
            for (int32_t channel = 0; channel < s.channels; channel++) {
                number_t sum = average ? 0 : EP_LOWEST_T;
                for (int32_t y = top; y < bottom; y++) {
                    const element_t *in = input + (y * s.input_width + left) * s.channels + channel;
                    for (int32_t x = left; x < right; x++) {
                        sum = average ? sum + *in : ep_max_N(sum, *in);
                        in += s.channels;
                    }
                }
                const number_t result = average ? ep_average_N(sum, (bottom - top) * (right - left)) : sum;
                *output++ = (element_t)ep_clamp_N(result, s.lowest, s.highest);
            }
        }
    }
}

#endif
