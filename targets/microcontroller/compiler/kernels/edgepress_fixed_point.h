/* Reciprocals and inverse square roots in gemmlowp's fixed point. */
#ifndef EDGEPRESS_FIXED_POINT_H
#define EDGEPRESS_FIXED_POINT_H

#include "edgepress_common.h"

EP_INLINE int32_t ep_saturating_left_shift(int32_t x, int32_t bits) {
    const int64_t shifted = (int64_t)x * ((int64_t)1 << bits);
    return shifted > INT32_MAX ? INT32_MAX : shifted < INT32_MIN ? INT32_MIN : (int32_t)shifted;
}

/* 1 / (1 + x) in Q0.31 for x in [0, 1) in Q0.31: three steps of Newton and Raphson's method in Q2.29. */
EP_INLINE int32_t ep_reciprocal(int32_t x) {
    const int64_t sum = (int64_t)x + INT32_MAX;
    const int32_t half = (int32_t)((sum + 1) / 2);
    int32_t estimate = 1515870810 + ep_multiply_high(half, -1010580540);
    for (int32_t step = 0; step < 3; step++) {
        const int32_t error = (1 << 29) - ep_multiply_high(half, estimate);
        estimate += ep_saturating_left_shift(ep_multiply_high(estimate, error), 2);
    }
    return ep_saturating_left_shift(estimate, 1);
}

EP_INLINE int32_t ep_leading_zeros(uint32_t x) {
    int32_t zeros = 0;
    while (zeros < 32 && ((x << zeros) & 0x80000000u) == 0) {
        zeros++;
    }
    return zeros;
}

/* 1 / sqrt(x) as multiplier * 2^-31 * 2^-shift, for `ep_requantize`: five steps of Newton and Raphson's method in Q3.28. */
EP_INLINE int32_t ep_inverse_square_root(int32_t x, int32_t *shift) {
    *shift = 0;
    if (x <= 1) {
        return INT32_MAX;
    }
    int32_t right = 11;
    while (x >= 1 << 29) {
        x /= 4;
        right++;
    }
    const int32_t pairs = (ep_leading_zeros((uint32_t)x) - 1) / 2 - 1;
    const int32_t input = (int32_t)((uint32_t)x << (2 * pairs)) >> 1;
    const int32_t half = ep_rounding_shift(input, 1);
    int32_t root = 1 << 28;
    for (int32_t step = 0; step < 5; step++) {
        const int32_t square = ep_multiply_high(root, root);
        const int32_t cube = ep_saturating_left_shift(ep_multiply_high(square, root), 6);
        const int32_t next = ep_multiply_high(3 << 27, root) - ep_multiply_high(half, cube);
        root = ep_saturating_left_shift(next, 3);
    }
    root = ep_multiply_high(root, 1518500250);
    right -= pairs;
    *shift = ep_max(right, 0);
    return right < 0 ? (int32_t)((uint32_t)root << -right) : root;
}

#endif
