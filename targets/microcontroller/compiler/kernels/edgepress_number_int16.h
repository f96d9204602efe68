/* The arithmetic of int16 tensors, which have no zero point, with weights of int8. */
#ifndef EDGEPRESS_NUMBER_INT16_H
#define EDGEPRESS_NUMBER_INT16_H

#include "edgepress_dsp.h"
#include "edgepress_number.h"

#define EP_LOWEST_int16 INT16_MIN
EP_INLINE int16_t ep_saturated_int16(int32_t x) { return (int16_t)ep_clamp(x, INT16_MIN, INT16_MAX); }

/* With the DSP extension four taps are taken at a time, which weights have in the order 0, 2, 1, 3. */
EP_INLINE int32_t ep_taps_int16(int32_t size) { return EP_DSP ? (size + 3) / 4 * 4 : size; }

/* Channels A and B of pixels 0 and 1. */
typedef struct {
    int64_t a0, b0, a1, b1;
} ep_dots_int16_t;

#define EP_PIECE 512 /* so many products of int16 and int8 stay within 32 bits */

EP_INLINE ep_dots_int16_t ep_dots_int16(int32_t taps, const int16_t *x0, const int16_t *x1, const int8_t *a, const int8_t *b) {
    ep_dots_int16_t sums = {0, 0, 0, 0};
    for (int32_t start = 0; start < taps; start += EP_PIECE) {
        const int32_t end = ep_min(start + EP_PIECE, taps);
        int32_t a0 = 0, b0 = 0, a1 = 0, b1 = 0;
#if EP_DSP
        EP_ROLLED for (int32_t i = start; i < end; i += 4) {
            const int32_t even_a = __sxtb16(ep_load(a + i)), odd_a = ep_odd(ep_load(a + i));
            const int32_t even_b = __sxtb16(ep_load(b + i)), odd_b = ep_odd(ep_load(b + i));
            a0 = __smlad(ep_load(x0 + i + 2), odd_a, __smlad(ep_load(x0 + i), even_a, a0));
            b0 = __smlad(ep_load(x0 + i + 2), odd_b, __smlad(ep_load(x0 + i), even_b, b0));
            a1 = __smlad(ep_load(x1 + i + 2), odd_a, __smlad(ep_load(x1 + i), even_a, a1));
            b1 = __smlad(ep_load(x1 + i + 2), odd_b, __smlad(ep_load(x1 + i), even_b, b1));
        }
#else
        for (int32_t i = start; i < end; i++) {
            a0 += x0[i] * a[i];
            b0 += x0[i] * b[i];
            a1 += x1[i] * a[i];
            b1 += x1[i] * b[i];
        }
#endif
        sums.a0 += a0;
        sums.b0 += b0;
        sums.a1 += a1;
        sums.b1 += b1;
    }
    return sums;
}

/* What a sum of a convolution becomes. The reference's sums have 64 bits and its multipliers 15, unless the bias has 32 bits; its fully
   connected layers multiply in double precision. */
enum {
    EP_SHORT,  /* sum and bias fit 32 bits, multipliers of 15 bits stand in the upper halves, shifts are those of the product's upper half */
    EP_LONG,   /* bias of 64 bits, shifts of the whole product */
    EP_TWICE,  /* bias of 32 bits, and the reference's two roundings */
    EP_DOUBLE, /* bias of 64 bits, multipliers in double precision */
};

EP_INLINE int32_t ep_rounded(double x) {
    const int64_t whole = (int64_t)x;
    const double rest = x - (double)whole;
    return (int32_t)(whole + (rest >= 0.5) - (rest <= -0.5));
}

EP_INLINE int16_t ep_filtered_int16(int32_t scaling, int64_t sum, const void *bias, const void *multiplier, const int8_t *shift,
                                    int32_t channel, int32_t lowest, int32_t highest) {
    int32_t result;
    if (scaling == EP_DOUBLE) {
        result = ep_rounded((double)(sum + ((const int64_t *)bias)[channel]) * ((const double *)multiplier)[channel]);
    } else if (scaling == EP_LONG) {
        const int64_t product = (sum + ((const int64_t *)bias)[channel]) * ((const int32_t *)multiplier)[channel];
        result = (int32_t)((product + ((int64_t)1 << (shift[channel] - 1))) >> shift[channel]);
    } else {
        const int32_t whole = (int32_t)sum + ((const int32_t *)bias)[channel], factor = ((const int32_t *)multiplier)[channel];
        const int32_t high = (int32_t)(((int64_t)whole * factor) >> 32);
        result = scaling == EP_TWICE ? ep_requantize(whole, factor, shift[channel]) : (high + (1 << (shift[channel] - 1))) >> shift[channel];
    }
    return (int16_t)ep_clamp(result, lowest, highest);
}

#endif
