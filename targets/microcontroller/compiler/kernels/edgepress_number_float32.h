/* The arithmetic of float tensors, under the names that integers' has. */
#ifndef EDGEPRESS_NUMBER_FLOAT32_H
#define EDGEPRESS_NUMBER_FLOAT32_H

#include <float.h>

#include "edgepress_common.h"

/* Multiply and add stay apart, so that every core gives the same bits; gcc keeps them apart with -std=c99. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

#define EP_LOWEST_float32 (-FLT_MAX)

EP_INLINE float ep_max_float32(float a, float b) { return a > b ? a : b; }
EP_INLINE float ep_saturated_float32(float x) { return x; }
EP_INLINE float ep_average_float32(float sum, int32_t count) { return sum / (float)count; }

/* Between the limits of a fused activation, which are whole numbers; the lowest and highest integer are none. */
EP_INLINE float ep_clamp_float32(float x, int32_t low, int32_t high) {
    const float above = low == INT32_MIN || x > (float)low ? x : (float)low;
    return high == INT32_MAX || above < (float)high ? above : (float)high;
}

/* A sum over `count` numbers becomes their mean; nothing is shifted. */
EP_INLINE float ep_requantize_float32(float sum, int32_t count, int32_t shift) { return (void)shift, sum / (float)count; }

EP_INLINE int32_t ep_taps_float32(int32_t size) { return size; }

/* Channels A and B of pixels 0 and 1. */
typedef struct {
    float a0, b0, a1, b1;
} ep_dots_float32_t;

EP_INLINE ep_dots_float32_t ep_dots_float32(int32_t taps, const float *x0, const float *x1, const float *a, const float *b) {
    ep_dots_float32_t sums = {0.0F, 0.0F, 0.0F, 0.0F};
    for (int32_t i = 0; i < taps; i++) {
        sums.a0 += x0[i] * a[i];
        sums.b0 += x0[i] * b[i];
        sums.a1 += x1[i] * a[i];
        sums.b1 += x1[i] * b[i];
    }
    return sums;
}

/* What a sum of a convolution becomes. */
EP_INLINE float ep_filtered_float32(int32_t scaling, float sum, const void *bias, const void *multiplier, const int8_t *shift,
                                    int32_t channel, int32_t lowest, int32_t highest) {
    (void)scaling, (void)multiplier, (void)shift;
    return ep_clamp_float32(sum + ((const float *)bias)[channel], lowest, highest);
}

#endif
