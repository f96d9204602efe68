/* Armv8.1-M's vector extension for integers (MVE, Helium): vectors of 16 bytes; predicates leave off what lies behind an end. */
#ifndef EDGEPRESS_MVE_H
#define EDGEPRESS_MVE_H

#include "edgepress_common.h"

#if EP_MVE
#include <arm_mve.h>

EP_INLINE void ep_copy_bytes(int8_t *to, const int8_t *from, int32_t size) {
    EP_ROLLED for (; size > 0; size -= 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)size);
        vstrbq_p_s8(to, vldrbq_z_s8(from, lanes), lanes);
        from += 16;
        to += 16;
    }
}

EP_INLINE void ep_fill_bytes(int8_t *to, int32_t value, int32_t size) {
    EP_ROLLED for (; size > 0; size -= 16) {
        vstrbq_p_s8(to, vdupq_n_s8((int8_t)value), vctp8q((uint32_t)size));
        to += 16;
    }
}

/* Adds the products of inputs and weights to the sum. */
EP_INLINE int32_t ep_dot_bytes(const int8_t *input, const int8_t *weights, int32_t size, int32_t sum) {
    EP_ROLLED for (; size > 0; size -= 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)size);
        sum = vmladavaq_p_s8(sum, vldrbq_z_s8(input, lanes), vldrbq_z_s8(weights, lanes), lanes);
        input += 16;
        weights += 16;
    }
    return sum;
}

/* Products of x with up to four rows of weights, `size` bytes each; where there are fewer rows, the last one's stand in for the others. */
EP_INLINE int32x4_t ep_vector_dots(const int8_t *x, const int8_t *w0, int32_t size, int32_t rows) {
    const int8_t *w1 = rows > 1 ? w0 + size : w0;
    const int8_t *w2 = rows > 2 ? w1 + size : w1;
    const int8_t *w3 = rows > 3 ? w2 + size : w2;
    int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    EP_ROLLED for (; size > 0; size -= 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)size);
        const int8x16_t taps = vldrbq_z_s8(x, lanes);
        sum0 = vmladavaq_p_s8(sum0, taps, vldrbq_z_s8(w0, lanes), lanes);
        sum1 = vmladavaq_p_s8(sum1, taps, vldrbq_z_s8(w1, lanes), lanes);
        sum2 = vmladavaq_p_s8(sum2, taps, vldrbq_z_s8(w2, lanes), lanes);
        sum3 = vmladavaq_p_s8(sum3, taps, vldrbq_z_s8(w3, lanes), lanes);
        x += 16;
        w0 += 16;
        w1 += 16;
        w2 += 16;
        w3 += 16;
    }
    const int32x4_t sums = {sum0, sum1, sum2, sum3};
    return sums;
}

/* What ep_requantize does, four at a time; `small` says that no shift goes to the left. */
EP_INLINE int32x4_t ep_vector_requantize(int32x4_t x, int32x4_t multiplier, int32x4_t shift, int32_t small) {
    const int32x4_t zero = vdupq_n_s32(0), left = vnegq_s32(shift);
    const int32x4_t high = vqrdmulhq_s32(small ? x : vshlq_s32(x, vmaxq_s32(left, zero)), multiplier);
    const int32x4_t right = small ? left : vminq_s32(left, zero);
    return vrshlq_s32(vqaddq_s32(high, vshrq_n_s32(vandq_s32(high, right), 31)), right);
}

EP_INLINE int32x4_t ep_vector_clamp(int32x4_t x, int32_t lowest, int32_t highest) {
    return vminq_s32(vmaxq_s32(x, vdupq_n_s32(lowest)), vdupq_n_s32(highest));
}

/* 0, step, 2 * step, 3 * step. */
EP_INLINE uint32x4_t ep_vector_places(int32_t step) { return vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)step); }

/* Puts bytes that are `step` apart side by side. */
EP_INLINE void ep_vector_gather(const int8_t *from, int32_t step, int32_t count, int8_t *to) {
    const uint32x4_t places = ep_vector_places(step);
    EP_ROLLED for (; count > 0; count -= 4) {
        const mve_pred16_t lanes = vctp32q((uint32_t)count);
        vstrbq_p_s32(to, vldrbq_gather_offset_z_s32(from, places, lanes), lanes);
        from += 4 * step;
        to += 4;
    }
}

#else

EP_INLINE void ep_copy_bytes(int8_t *to, const int8_t *from, int32_t size) { EP_COPY(to, from, (size_t)size); }
EP_INLINE void ep_fill_bytes(int8_t *to, int32_t value, int32_t size) { EP_FILL(to, value, (size_t)size); }

EP_INLINE int32_t ep_dot_bytes(const int8_t *input, const int8_t *weights, int32_t size, int32_t sum) {
    for (int32_t i = 0; i < size; i++) {
        sum += input[i] * weights[i];
    }
    return sum;
}

#endif
#endif
