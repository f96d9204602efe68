/* Convolutions, int8 activations and weights, weights [out][height][width][in]. The input's zero point is folded into the bias,
   so what lies outside of the input counts as the zero point. */
#ifndef EDGEPRESS_CONV_H
#define EDGEPRESS_CONV_H

#include "edgepress_dsp.h"
#include "edgepress_mve.h"
#include "edgepress_nibbles.h"
#include "edgepress_scalar.h"

typedef struct {
    int32_t input_height, input_width, input_channels, output_height, output_width, output_channels;
    int32_t depth, filters; /* what one call works on: all channels unless there are groups */
    int32_t kernel_height, kernel_width, stride_height, stride_width, dilation_height, dilation_width, pad_top, pad_left;
    int32_t input_zero_point, output_zero_point, lowest, highest;
    /* Whether short requantization, joined weights, windows over the edge or with gaps, depths of whole words, pairs of filters and groups
       are in use. */
    int32_t small, joined, padded, words, paired, grouped;
    int32_t nibbles; /* whether weights have 4 bits, two a byte */
} ep_conv_t;

EP_INLINE int8_t ep_conv_output(const ep_conv_t s, int32_t sum, int32_t multiplier, int32_t shift) {
    const int32_t scaled = s.small ? ep_requantize_small(sum, multiplier, shift) : ep_requantize(sum, multiplier, shift);
    return (int8_t)ep_clamp(scaled + s.output_zero_point, s.lowest, s.highest);
}

/* Whether a row of the kernel lies in the input in one piece. */
EP_INLINE int32_t ep_row_inside(const ep_conv_t s, int32_t y, int32_t left) {
    const int32_t right = left + (s.kernel_width - 1) * s.dilation_width;
    const int32_t inside = !s.padded || (y >= 0 && y < s.input_height && left >= 0 && right < s.input_width);
    return inside && s.dilation_width == 1 && !s.grouped;
}

EP_INLINE int32_t ep_tap_inside(const ep_conv_t s, int32_t y, int32_t x) {
    return y >= 0 && y < s.input_height && x >= 0 && x < s.input_width;
}

/* The input under the kernel at one output position, [height][width][in]. */
EP_INLINE void ep_patch(const ep_conv_t s, const int8_t *input, int32_t top, int32_t left, int8_t *patch) {
    for (int32_t ky = 0; ky < s.kernel_height; ky++) {
        const int32_t y = top + ky * s.dilation_height;
        if (ep_row_inside(s, y, left)) {
            ep_copy_bytes(patch, input + (y * s.input_width + left) * s.input_channels, s.kernel_width * s.depth);
            patch += s.kernel_width * s.depth;
            continue;
        }
        EP_ROLLED for (int32_t kx = 0; kx < s.kernel_width; kx++) {
            const int32_t x = left + kx * s.dilation_width;
            if (ep_tap_inside(s, y, x)) {
                ep_copy_bytes(patch, input + (y * s.input_width + x) * s.input_channels, s.depth);
            } else {
                ep_fill_bytes(patch, s.input_zero_point, s.depth);
            }
            patch += s.depth;
        }
    }
}

#if EP_DSP

/* The input under the kernel at one output position, widened for pixel 0 or 1 of `to`. */
EP_INLINE void ep_wide_patch(const ep_conv_t s, const int8_t *input, int32_t top, int32_t left, int8_t *bytes, int32_t *to) {
    const int32_t size = s.kernel_height * s.kernel_width * s.depth;
    if (!s.words && !s.padded && s.kernel_height * s.kernel_width == 1) {
        const int8_t *const from = input + (top * s.input_width + left) * s.input_channels;
        ep_widen_rest(from + (s.depth & ~3), s.depth & 3, ep_widen(from, s.depth & ~3, to));
        return;
    }
    if (!s.words) {
        ep_patch(s, input, top, left, bytes);
        EP_FILL(bytes + size, 0, (size_t)(-size & 3));
        ep_widen(bytes, size + (-size & 3), to);
        return;
    }
    for (int32_t ky = 0; ky < s.kernel_height; ky++) {
        const int32_t y = top + ky * s.dilation_height;
        if (ep_row_inside(s, y, left)) {
            to = ep_widen(input + (y * s.input_width + left) * s.input_channels, s.kernel_width * s.depth, to);
            continue;
        }
        EP_ROLLED for (int32_t kx = 0; kx < s.kernel_width; kx++) {
            const int32_t x = left + kx * s.dilation_width;
            to = ep_tap_inside(s, y, x) ? ep_widen(input + (y * s.input_width + x) * s.input_channels, s.depth, to)
                                        : ep_widen_value(s.input_zero_point, s.depth, to);
        }
    }
}

EP_INLINE int8_t ep_wide_output(const ep_conv_t s, int32_t sum, int32_t bias, int32_t multiplier, int32_t shift) {
    if (!s.small) {
        return ep_conv_output(s, sum + bias, multiplier, shift);
    }
    return (int8_t)ep_clamp(ep_requantize_twice(sum * 2 + bias * 2, multiplier, shift, s.output_zero_point), s.lowest, s.highest);
}

/* One channel of two pixels. */
EP_INLINE void ep_wide_outputs(const ep_conv_t s, int32_t sum0, int32_t sum1, int32_t bias, int32_t multiplier, int32_t shift, int8_t *pixel0,
                               int8_t *pixel1) {
    *pixel0 = ep_wide_output(s, sum0, bias, multiplier, shift);
    *pixel1 = ep_wide_output(s, sum1, bias, multiplier, shift);
}

/* Two neighbouring pixels at a time; of an odd number the last is done twice. */
EP_INLINE void ep_conv(const ep_conv_t s, const int8_t *input, const int32_t *weights, const int32_t *bias, const int32_t *multiplier,
                       const int8_t *shift, int8_t *scratch, int8_t *output) {
    const int32_t groups = (s.kernel_height * s.kernel_width * s.depth + 3) / 4;
    int32_t *const wide = (int32_t *)(void *)scratch;
    int8_t *const bytes = scratch + 16 * groups;
    const int8_t *const last = output + (s.output_height * s.output_width - 1) * s.output_channels;
    int32_t top = -s.pad_top, column = 0;
    while (output <= last) {
        int8_t *const next = output == last ? output : output + s.output_channels;
        for (int32_t pixel = 0; pixel < 2; pixel++) {
            ep_wide_patch(s, input, top, column * s.stride_width - s.pad_left, bytes, wide + pixel);
            if (next != output && ++column == s.output_width) {
                column = 0;
                top += s.stride_height;
            }
        }
        const int32_t *w = weights;
        const ep_sums_t biased = s.nibbles ? ep_nibble_bias(groups, wide) : (ep_sums_t){0, 0, 0, 0};
        EP_ROLLED for (int32_t channel = 0; channel < s.filters; channel += 2) {
            const ep_sums_t sums = s.nibbles ? ep_dot_wide_nibbles(groups, biased, wide, w) : ep_dot(groups, s.joined, wide, w);
            w += s.nibbles ? groups : 2 * groups;
            ep_wide_outputs(s, sums.a0, sums.a1, bias[channel], multiplier[channel], shift[channel], output + channel, next + channel);
            if (s.paired || channel + 1 < s.filters) {
                const int32_t b = channel + 1;
                ep_wide_outputs(s, sums.b0, sums.b1, bias[b], multiplier[b], shift[b], output + b, next + b);
            }
        }
        output = next + s.output_channels;
    }
}

#else

#if EP_MVE

EP_INLINE int32x4_t ep_vector_output(const ep_conv_t s, int32x4_t sums, int32x4_t multiplier, int32x4_t shift) {
    const int32x4_t scaled = ep_vector_requantize(sums, multiplier, shift, s.small);
    return ep_vector_clamp(vaddq_n_s32(scaled, s.output_zero_point), s.lowest, s.highest);
}

/* All channels of one pixel, four at a time. */
EP_INLINE void ep_vector_pixel(const ep_conv_t s, const int8_t *patch, const int8_t *weights, const int32_t *bias, const int32_t *multiplier,
                               const int8_t *shift, int8_t *output) {
    const int32_t size = s.kernel_height * s.kernel_width * s.depth;
    EP_ROLLED for (int32_t channel = 0; channel < s.filters; channel += 4) {
        const mve_pred16_t lanes = vctp32q((uint32_t)(s.filters - channel));
        const int32x4_t sums = ep_vector_dots(patch, weights, size, s.filters - channel);
        const int32x4_t biased = vaddq_s32(sums, vldrwq_z_s32(bias + channel, lanes));
        const int32x4_t multipliers = vldrwq_z_s32(multiplier + channel, lanes), shifts = vldrbq_z_s32(shift + channel, lanes);
        vstrbq_p_s32(output + channel, ep_vector_output(s, biased, multipliers, shifts), lanes);
        weights += 4 * size;
    }
}

#endif

EP_INLINE void ep_conv(const ep_conv_t s, const int8_t *input, const int8_t *weights, const int32_t *bias, const int32_t *multiplier,
                       const int8_t *shift, int8_t *scratch, int8_t *output) {
    const int32_t size = s.kernel_height * s.kernel_width * s.depth, row = s.nibbles ? (size + 1) / 2 : size;
    for (int32_t oy = 0; oy < s.output_height; oy++) {
        for (int32_t ox = 0; ox < s.output_width; ox++) {
            ep_patch(s, input, oy * s.stride_height - s.pad_top, ox * s.stride_width - s.pad_left, scratch);
#if EP_MVE
            if (!s.nibbles) {
                ep_vector_pixel(s, scratch, weights, bias, multiplier, shift, output);
                output += s.output_channels;
                continue;
            }
#endif
            const int8_t *w = weights;
            EP_ROLLED for (int32_t channel = 0; channel < s.filters; channel += 2) {
                const int32_t both = s.paired || channel + 1 < s.filters;
                const int32_t b = both ? channel + 1 : channel;
                int32_t sums[2] = {bias[channel], bias[b]};
                if (s.nibbles) {
                    sums[0] = ep_dot_nibbles(scratch, w, size, sums[0]);
                    sums[1] = both ? ep_dot_nibbles(scratch, w + row, size, sums[1]) : sums[0];
                } else {
                    ep_dot_pair(scratch, w, both ? w + row : w, size, sums);
                }
                w += 2 * row;
                output[channel] = ep_conv_output(s, sums[0], multiplier[channel], shift[channel]);
                output[b] = ep_conv_output(s, sums[1], multiplier[b], shift[b]);
            }
            output += s.output_channels;
        }
    }
}

#endif

#endif
