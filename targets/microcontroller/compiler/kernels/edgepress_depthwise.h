/* Depthwise convolution, int8. Works channel by channel on a padded copy of that channel's plane, so the output may overwrite the input
   where both have the same shape. The input's zero point is folded into the bias.

   Weights are [channel][height][width], with the DSP extension and taps side by side each row filled up with zeros to a multiple of four. */
#ifndef EDGEPRESS_DEPTHWISE_H
#define EDGEPRESS_DEPTHWISE_H

#include "edgepress_conv.h"

EP_INLINE int32_t ep_plane_height(const ep_conv_t s) {
    return (s.output_height - 1) * s.stride_height + (s.kernel_height - 1) * s.dilation_height + 1;
}

EP_INLINE int32_t ep_plane_width(const ep_conv_t s) {
    return (s.output_width - 1) * s.stride_width + (s.kernel_width - 1) * s.dilation_width + 1;
}

/* Puts a channel's numbers into the plane, whose border keeps the zero point that it was filled with. */
EP_INLINE void ep_fill_plane(const ep_conv_t s, const int8_t *input, int8_t *plane) {
    const int32_t rows = ep_min(s.input_height, ep_plane_height(s) - s.pad_top);
    const int32_t columns = ep_min(s.input_width, ep_plane_width(s) - s.pad_left);
    const int32_t step = s.input_channels;
    EP_ROLLED for (int32_t y = 0; y < rows; y++) {
        const int8_t *from = input + y * s.input_width * step;
        int8_t *to = plane + (y + s.pad_top) * ep_plane_width(s) + s.pad_left;
#if EP_MVE
        ep_vector_gather(from, step, columns, to);
#else
        EP_ROLLED for (int32_t x = columns / 4; x > 0; x--) {
            const int8_t a = from[0], b = from[step], c = from[2 * step], d = from[3 * step];
            to[0] = a;
            to[1] = b;
            to[2] = c;
            to[3] = d;
            from += 4 * step;
            to += 4;
        }
        for (int32_t x = 0; x < columns % 4; x++) {
            to[x] = from[x * step];
        }
#endif
    }
}

/* One channel tap by tap. */
EP_INLINE void ep_depthwise_taps(const ep_conv_t s, const int8_t *plane, const int8_t *weights, int32_t bias, int32_t multiplier, int32_t shift,
                                 int8_t *output) {
    for (int32_t oy = 0; oy < s.output_height; oy++) {
        for (int32_t ox = 0; ox < s.output_width; ox++) {
            int32_t sum = bias;
            const int8_t *w = weights;
            for (int32_t ky = 0; ky < s.kernel_height; ky++) {
                const int8_t *row = plane + (oy * s.stride_height + ky * s.dilation_height) * ep_plane_width(s) + ox * s.stride_width;
                for (int32_t kx = 0; kx < s.kernel_width; kx++) {
                    sum += row[kx * s.dilation_width] * *w++;
                }
            }
            *output = ep_conv_output(s, sum, multiplier, shift);
            output += s.output_channels;
        }
    }
}

#if EP_MVE

/* One channel, four pixels of a row at a time. */
EP_INLINE void ep_depthwise_vector(const ep_conv_t s, const int8_t *plane, const int8_t *weights, int32_t bias, int32_t multiplier,
                                   int32_t shift, int8_t *output) {
    const uint32x4_t columns = ep_vector_places(s.stride_width), pixels = ep_vector_places(s.output_channels);
    const int32_t down = s.dilation_height * ep_plane_width(s);
    EP_ROLLED for (int32_t oy = 0; oy < s.output_height; oy++) {
        const int8_t *row = plane + oy * s.stride_height * ep_plane_width(s);
        int8_t *to = output;
        EP_ROLLED for (int32_t rest = s.output_width; rest > 0; rest -= 4) {
            const mve_pred16_t lanes = vctp32q((uint32_t)rest);
            int32x4_t sums = vdupq_n_s32(bias);
            for (int32_t ky = 0; ky < s.kernel_height; ky++) {
                for (int32_t kx = 0; kx < s.kernel_width; kx++) {
                    const int8_t *const from = row + ky * down + kx * s.dilation_width;
                    const int32x4_t x = s.stride_width == 1 ? vldrbq_z_s32(from, lanes) : vldrbq_gather_offset_z_s32(from, columns, lanes);
                    sums = vmlaq_n_s32(sums, x, weights[ky * s.kernel_width + kx]);
                }
            }
            sums = ep_vector_output(s, sums, vdupq_n_s32(multiplier), vdupq_n_s32(shift));
            vstrbq_scatter_offset_p_s32(to, pixels, sums, lanes);
            row += 4 * s.stride_width;
            to += 4 * s.output_channels;
        }
        output += s.output_width * s.output_channels;
    }
}

#endif

#if EP_DSP

/* Three rows of three taps with stride 1: what is loaded for one output serves its right neighbour too. `even` is (w0, w2) of a row; the
   middle taps share words, so that all weights stay in registers. */
EP_INLINE void ep_depthwise_pairs(const ep_conv_t s, const int8_t *plane, const int8_t *weights, int32_t bias, int32_t multiplier,
                                  int32_t shift, int8_t *output) {
    const int32_t down = s.dilation_height * ep_plane_width(s);
    const int32_t w0 = ep_load(weights), w1 = ep_load(weights + 4), w2 = ep_load(weights + 8);
    const int32_t even0 = __sxtb16(w0), even1 = __sxtb16(w1), even2 = __sxtb16(w2), middle2 = ep_odd(w2);
    const int32_t middle = (int32_t)(((uint32_t)ep_odd(w0) & 0xffffu) | (uint32_t)ep_odd(w1) << 16);
    EP_ROLLED for (int32_t oy = 0; oy < s.output_height; oy++) {
        const int8_t *row = plane + oy * s.stride_height * ep_plane_width(s);
        EP_ROLLED for (int32_t ox = 0; ox < s.output_width; ox += 2) {
            const int32_t x0 = ep_load(row), x1 = ep_load(row + down), x2 = ep_load(row + 2 * down);
            int32_t left = __smlad(__sxtb16(x0), even0, bias), right = __smlad(ep_odd(x0), even0, bias);
            left = __smlabb(ep_odd(x0), middle, left);
            right = __smlatb(__sxtb16(x0), middle, right);
            left = __smlad(__sxtb16(x1), even1, left);
            right = __smlad(ep_odd(x1), even1, right);
            left = __smlabt(ep_odd(x1), middle, left);
            right = __smlatt(__sxtb16(x1), middle, right);
            left = __smlad(__sxtb16(x2), even2, left);
            right = __smlad(ep_odd(x2), even2, right);
            left = __smlabb(ep_odd(x2), middle2, left);
            right = __smlatb(__sxtb16(x2), middle2, right);
            row += 2;
            *output = ep_wide_output(s, left, 0, multiplier, shift);
            output += s.output_channels;
            if (s.output_width % 2 == 0 || ox + 1 < s.output_width) {
                *output = ep_wide_output(s, right, 0, multiplier, shift);
                output += s.output_channels;
            }
        }
    }
}

/* Taps side by side, four at a time; up to three words of weights stay in registers. */
EP_INLINE void ep_depthwise_rows(const ep_conv_t s, const int8_t *plane, const int8_t *weights, int32_t bias, int32_t multiplier,
                                 int32_t shift, int8_t *output) {
    const int32_t words = (s.kernel_width + 3) / 4;
    const int32_t kept = s.kernel_height * words <= 3;
    int32_t even[3] = {0, 0, 0}, odd[3] = {0, 0, 0};
    for (int32_t i = 0; i < s.kernel_height * words && kept; i++) {
        even[i] = __sxtb16(ep_load(weights + 4 * i));
        odd[i] = ep_odd(ep_load(weights + 4 * i));
    }
    EP_ROLLED for (int32_t oy = 0; oy < s.output_height; oy++) {
        const int8_t *top = plane + oy * s.stride_height * ep_plane_width(s);
        EP_ROLLED for (int32_t ox = 0; ox < s.output_width; ox++) {
            int32_t sum = bias;
            for (int32_t ky = 0; ky < s.kernel_height; ky++) {
                const int8_t *row = top + ky * s.dilation_height * ep_plane_width(s);
                for (int32_t i = 0; i < words; i++) {
                    const int32_t index = ky * words + i;
                    const int32_t x = ep_load(row + 4 * i), taps = kept ? 0 : ep_load(weights + 4 * index);
                    sum = __smlad(__sxtb16(x), kept ? even[index] : __sxtb16(taps), sum);
                    sum = __smlad(ep_odd(x), kept ? odd[index] : ep_odd(taps), sum);
                }
            }
            top += s.stride_width;
            *output = ep_wide_output(s, sum, 0, multiplier, shift);
            output += s.output_channels;
        }
    }
}

#endif

/* A channel's weights; those of 4 bits are unpacked behind the plane. */
EP_INLINE const int8_t *ep_channel_weights(const ep_conv_t s, const int8_t *weights, int32_t channel, int8_t *plane) {
    const int32_t width = EP_DSP && s.dilation_width == 1 ? (s.kernel_width + 3) / 4 * 4 : s.kernel_width;
    const int32_t count = s.kernel_height * width, bytes = ep_plane_height(s) * ep_plane_width(s);
    return s.nibbles ? ep_unpacked(weights + channel * ((count + 1) / 2), count, plane + (bytes + 3) / 4 * 4 + 4) : weights + channel * count;
}

EP_INLINE void ep_depthwise(const ep_conv_t s, const int8_t *input, const int8_t *weights, const int32_t *bias, const int32_t *multiplier,
                            const int8_t *shift, int8_t *plane, int8_t *output) {
    const int32_t repeats = s.output_channels / s.input_channels;
    EP_FILL(plane, s.input_zero_point, (size_t)(ep_plane_height(s) * ep_plane_width(s)));
    EP_ROLLED for (int32_t channel = 0; channel < s.output_channels; channel++) {
        if (channel % repeats == 0) {
            ep_fill_plane(s, input + channel / repeats, plane);
        }
        const int8_t *const w = ep_channel_weights(s, weights, channel, plane);
#if EP_DSP
        if (s.dilation_width == 1 && s.kernel_width == 3 && s.stride_width == 1 && s.kernel_height == 3) {
            ep_depthwise_pairs(s, plane, w, bias[channel], multiplier[channel], shift[channel], output + channel);
            continue;
        }
        if (s.dilation_width == 1) {
            ep_depthwise_rows(s, plane, w, bias[channel], multiplier[channel], shift[channel], output + channel);
            continue;
        }
#endif
#if EP_MVE
        ep_depthwise_vector(s, plane, w, bias[channel], multiplier[channel], shift[channel], output + channel);
#else
        ep_depthwise_taps(s, plane, w, bias[channel], multiplier[channel], shift[channel], output + channel);
#endif
    }
}

#endif
