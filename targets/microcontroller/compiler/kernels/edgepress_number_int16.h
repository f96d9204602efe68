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

#define EP_PIECE 508 /* so many products of int16 and int8 stay within 32 bits; a multiple of four */

#if EP_DSP
/* Four taps at a time, at least one time; r7 is left out because it may be the frame pointer. */
EP_INLINE ep_sums_t ep_dots_piece(int32_t taps, const int16_t *x0, const int16_t *x1, const int8_t *a, const int8_t *b) {
    ep_sums_t sums = {0, 0, 0, 0};
    __asm__ volatile("1:\n\t"
                     "ldr r2, [%[a]], #4\n\t"
                     "ldr r3, [%[b]], #4\n\t"
                     "ldr r8, [%[x0]], #4\n\t"
                     "sxtb16 r6, r2\n\t"
                     "smlad %[a0], r8, r6, %[a0]\n\t"
                     "sxtb16 r6, r3\n\t"
                     "smlad %[b0], r8, r6, %[b0]\n\t"
                     "ldr r8, [%[x1]], #4\n\t"
                     "smlad %[b1], r8, r6, %[b1]\n\t"
                     "sxtb16 r6, r2\n\t"
                     "smlad %[a1], r8, r6, %[a1]\n\t"
                     "ldr r8, [%[x1]], #4\n\t"
                     "sxtb16 r6, r2, ror #8\n\t"
                     "smlad %[a1], r8, r6, %[a1]\n\t"
                     "sxtb16 r6, r3, ror #8\n\t"
                     "smlad %[b1], r8, r6, %[b1]\n\t"
                     "ldr r8, [%[x0]], #4\n\t"
                     "smlad %[b0], r8, r6, %[b0]\n\t"
                     "sxtb16 r6, r2, ror #8\n\t"
                     "smlad %[a0], r8, r6, %[a0]\n\t"
                     "cmp %[a], %[end]\n\t"
                     "bne 1b"
                     : [a] "+&r"(a), [b] "+&r"(b), [x0] "+&r"(x0), [x1] "+&r"(x1), [a0] "+&r"(sums.a0), [b0] "+&r"(sums.b0), [a1] "+&r"(sums.a1),
                       [b1] "+&r"(sums.b1)
                     : [end] "r"(a + taps)
                     : "r2", "r3", "r6", "r8", "cc", "memory");
    return sums;
}
#else
EP_INLINE ep_sums_t ep_dots_piece(int32_t taps, const int16_t *x0, const int16_t *x1, const int8_t *a, const int8_t *b) {
    ep_sums_t sums = {0, 0, 0, 0};
    for (int32_t i = 0; i < taps; i++) {
        sums.a0 += x0[i] * a[i];
        sums.b0 += x0[i] * b[i];
        sums.a1 += x1[i] * a[i];
        sums.b1 += x1[i] * b[i];
    }
    return sums;
}
#endif

EP_INLINE ep_dots_int16_t ep_dots_int16(int32_t taps, const int16_t *x0, const int16_t *x1, const int8_t *a, const int8_t *b) {
    ep_dots_int16_t sums = {0, 0, 0, 0};
    for (int32_t start = 0; start < taps; start += EP_PIECE) {
        const ep_sums_t piece = ep_dots_piece(ep_min(taps - start, EP_PIECE), x0 + start, x1 + start, a + start, b + start);
        sums.a0 += piece.a0;
        sums.b0 += piece.b0;
        sums.a1 += piece.a1;
        sums.b1 += piece.b1;
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

/* Half away from zero, of what lies beyond int16 its limits. */
EP_INLINE int32_t ep_rounded(double x) {
    const double limited = x > 32767.0 ? 32767.0 : x > -32768.0 ? x : -32768.0;
    const int32_t whole = (int32_t)limited;
    const double rest = limited - (double)whole;
    return whole + (rest >= 0.5) - (rest <= -0.5);
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
