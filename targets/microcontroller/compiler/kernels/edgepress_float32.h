/* The arithmetic of float tensors, under the names that integers' has. */
#ifndef EDGEPRESS_FLOAT32_H
#define EDGEPRESS_FLOAT32_H

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

#endif
