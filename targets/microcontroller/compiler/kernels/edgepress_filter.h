/* Convolutions without zero points, weights [out][height][width][in]. What lies outside of the input counts as 0. */
#ifndef EDGEPRESS_FILTER_T_H
#define EDGEPRESS_FILTER_T_H

#include "edgepress_number_T.h"

/* `taps` are those of a channel's weights, filled up as ep_dots_T takes them. What a sum becomes is told by `scaling`, see ep_scaled_T. */
typedef struct {
    int32_t input_height, input_width, input_channels, output_height, output_width, output_channels;
    int32_t depth, filters; /* what one call works on: all channels unless there are groups */
    int32_t kernel_height, kernel_width, stride_height, stride_width, dilation_height, dilation_width, pad_top, pad_left;
    int32_t lowest, highest, scaling;
    int32_t padded, direct; /* whether windows reach over the edge or have gaps, and whether each is one piece of the input as it is */
} ep_filter_T_t;

/* The input under the kernel at one output position, [height][width][in], and zeros up to `taps`. */
EP_INLINE void ep_window_T(const ep_filter_T_t s, const element_t *input, int32_t top, int32_t left, int32_t taps, element_t *to) {
    const int32_t size = s.kernel_height * s.kernel_width * s.depth, bytes = (int32_t)sizeof *to;
    EP_FILL(to + size, 0, (size_t)((taps - size) * bytes));
    for (int32_t ky = 0; ky < s.kernel_height; ky++) {
        const int32_t y = top + ky * s.dilation_height;
        if (!s.padded && s.depth == s.input_channels) {
            EP_COPY(to, input + (y * s.input_width + left) * s.input_channels, (size_t)(s.kernel_width * s.depth * bytes));
            to += s.kernel_width * s.depth;
            continue;
        }
        EP_ROLLED for (int32_t kx = 0; kx < s.kernel_width; kx++) {
            const int32_t x = left + kx * s.dilation_width;
            if (y >= 0 && y < s.input_height && x >= 0 && x < s.input_width) {
                EP_COPY(to, input + (y * s.input_width + x) * s.input_channels, (size_t)(s.depth * bytes));
            } else {
                EP_FILL(to, 0, (size_t)(s.depth * bytes));
            }
            to += s.depth;
        }
    }
}

/* Two neighbouring pixels by two channels at a time; of an odd number the last is done twice. */
EP_INLINE void ep_filter_T(const ep_filter_T_t s, const element_t *input, const weight_t *weights, const void *bias, const void *multiplier,
                           const int8_t *shift, int8_t *scratch, element_t *output) {
    const int32_t taps = ep_taps_T(s.kernel_height * s.kernel_width * s.depth), pixels = s.output_height * s.output_width;
    const element_t *window[2] = {input, input};
    int32_t top = -s.pad_top, column = 0;
    for (int32_t done = 0; done < pixels; done += 2) {
        element_t *const next = done + 1 < pixels ? output + s.output_channels : output;
        for (int32_t pixel = 0; pixel < 2 && done + pixel < pixels; pixel++) {
            if (s.direct) {
                window[1] = window[pixel] = input + (done + pixel) * taps;
            } else {
                element_t *const own = (element_t *)(void *)scratch + pixel * taps;
                ep_window_T(s, input, top, column * s.stride_width - s.pad_left, taps, own);
                window[1] = window[pixel] = own;
            }
            if (++column == s.output_width) {
                column = 0;
                top += s.stride_height;
            }
        }
        const weight_t *w = weights;
        EP_ROLLED for (int32_t channel = 0; channel < s.filters; channel += 2) {
            const int32_t paired = channel + 1 < s.filters;
            const ep_dots_T_t sums = ep_dots_T(taps, window[0], pixels > 1 ? window[1] : window[0], w, paired ? w + taps : w);
            const int32_t other = channel + paired;
            output[channel] = ep_filtered_T(s.scaling, sums.a0, bias, multiplier, shift, channel, s.lowest, s.highest);
            next[channel] = ep_filtered_T(s.scaling, sums.a1, bias, multiplier, shift, channel, s.lowest, s.highest);
            output[other] = ep_filtered_T(s.scaling, sums.b0, bias, multiplier, shift, other, s.lowest, s.highest);
            next[other] = ep_filtered_T(s.scaling, sums.b1, bias, multiplier, shift, other, s.lowest, s.highest);
            w += 2 * taps;
        }
        output = next + s.output_channels;
    }
}

/* Depthwise, weights [channel][height][width]. Works on a padded copy of one channel's plane at a time, so the output may overwrite the
   input where both have the same shape. */
EP_INLINE void ep_filter_depthwise_T(const ep_filter_T_t s, const element_t *input, const weight_t *weights, const void *bias,
                                     const void *multiplier, const int8_t *shift, int8_t *scratch, element_t *output) {
    const int32_t height = (s.output_height - 1) * s.stride_height + (s.kernel_height - 1) * s.dilation_height + 1;
    const int32_t width = (s.output_width - 1) * s.stride_width + (s.kernel_width - 1) * s.dilation_width + 1;
    const int32_t rows = ep_min(s.input_height, height - s.pad_top), columns = ep_min(s.input_width, width - s.pad_left);
    const int32_t repeats = s.output_channels / s.input_channels;
    element_t *const plane = (element_t *)(void *)scratch;
    EP_FILL(plane, 0, (size_t)(height * width) * sizeof *plane);
    EP_ROLLED for (int32_t channel = 0; channel < s.output_channels; channel++) {
        const weight_t *const w = weights + channel * s.kernel_height * s.kernel_width;
        for (int32_t y = 0; y < rows && channel % repeats == 0; y++) {
            const element_t *from = input + y * s.input_width * s.input_channels + channel / repeats;
            for (int32_t x = 0; x < columns; x++) {
                plane[(y + s.pad_top) * width + s.pad_left + x] = from[x * s.input_channels];
            }
        }
        element_t *to = output + channel;
        EP_ROLLED for (int32_t oy = 0; oy < s.output_height; oy++) {
            EP_ROLLED for (int32_t ox = 0; ox < s.output_width; ox++) {
                const element_t *const from = plane + oy * s.stride_height * width + ox * s.stride_width;
                number_t sum = 0;
                for (int32_t ky = 0; ky < s.kernel_height; ky++) {
                    for (int32_t kx = 0; kx < s.kernel_width; kx++) {
                        sum += from[ky * s.dilation_height * width + kx * s.dilation_width] * w[ky * s.kernel_width + kx];
                    }
                }
                *to = ep_filtered_T(s.scaling, sum, bias, multiplier, shift, channel, s.lowest, s.highest);
                to += s.output_channels;
            }
        }
    }
}

#endif
