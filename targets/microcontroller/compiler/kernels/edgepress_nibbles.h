/* Weights of 4 bits, two a byte, the first in the lower half; unpacked as they are used. */
#ifndef EDGEPRESS_NIBBLES_H
#define EDGEPRESS_NIBBLES_H

#include "edgepress_dsp.h"
#include "edgepress_mve.h"

EP_INLINE int32_t ep_low_nibble(int8_t pair) { return (int32_t)((uint32_t)pair << 28) >> 28; }
EP_INLINE int32_t ep_high_nibble(int8_t pair) { return pair >> 4; }

EP_INLINE const int8_t *ep_unpacked(const int8_t *from, int32_t count, int8_t *to) {
    for (int32_t i = 0; i < count; i++) {
        to[i] = (int8_t)(i % 2 == 0 ? ep_low_nibble(from[i / 2]) : ep_high_nibble(from[i / 2]));
    }
    return to;
}

#if EP_MVE
/* Sixteen at a time: each pair of nibbles is a byte in 16 bits first, then two bytes whose upper halves are shifted out with the sign. */
EP_INLINE int32_t ep_dot_nibbles(const int8_t *input, const int8_t *weights, int32_t size, int32_t sum) {
    EP_ROLLED for (; size > 0; size -= 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)size);
        const uint16x8_t pairs = vldrbq_z_u16((const uint8_t *)weights, vctp16q((uint32_t)(size + 1) / 2));
        const int8x16_t raised = vshlq_n_s8(vreinterpretq_s8_u16(vsliq_n_u16(pairs, pairs, 4)), 4);
        sum = vmladavaq_p_s8(sum, vldrbq_z_s8(input, lanes), vshrq_n_s8(raised, 4), lanes);
        input += 16;
        weights += 8;
    }
    return sum;
}
#else
EP_INLINE int32_t ep_dot_nibbles(const int8_t *input, const int8_t *weights, int32_t size, int32_t sum) {
    EP_ROLLED for (int32_t i = 0; i < size / 2; i++) {
        sum += input[2 * i] * ep_low_nibble(weights[i]) + input[2 * i + 1] * ep_high_nibble(weights[i]);
    }
    return size % 2 == 0 ? sum : sum + input[size - 1] * ep_low_nibble(weights[size / 2]);
}
#endif

#if EP_DSP

#define EP_NIBBLES 0x000f000f
#define EP_NIBBLE_BIAS 0x00080008

/* What the 8 that each nibble has too much adds to the sums of both pixels, negative: where ep_dot_wide_nibbles starts. */
EP_INLINE ep_sums_t ep_nibble_bias(int32_t groups, const int32_t *x) {
    ep_sums_t sums = {0, 0, 0, 0};
    EP_ROLLED for (int32_t i = 0; i < groups; i++) {
        sums.a0 = __smlad(x[4 * i + 2], EP_NIBBLE_BIAS, __smlad(x[4 * i], EP_NIBBLE_BIAS, sums.a0));
        sums.a1 = __smlad(x[4 * i + 3], EP_NIBBLE_BIAS, __smlad(x[4 * i + 1], EP_NIBBLE_BIAS, sums.a1));
    }
    return (ep_sums_t){-sums.a0, -sums.a0, -sums.a1, -sums.a1};
}

#define EP_NIBBLE_STEP                   \
    "ldr r6, [%[w]], #4\n\t"             \
    "ldmia %[x]!, {r2, r3}\n\t"          \
    "and r8, %[mask], r6\n\t"            \
    "smlad %[a0], r2, r8, %[a0]\n\t"     \
    "smlad %[a1], r3, r8, %[a1]\n\t"     \
    "and r8, %[mask], r6, lsr #8\n\t"    \
    "smlad %[b0], r2, r8, %[b0]\n\t"     \
    "smlad %[b1], r3, r8, %[b1]\n\t"     \
    "ldmia %[x]!, {r2, r3}\n\t"          \
    "and r8, %[mask], r6, lsr #4\n\t"    \
    "smlad %[a0], r2, r8, %[a0]\n\t"     \
    "smlad %[a1], r3, r8, %[a1]\n\t"     \
    "and r8, %[mask], r6, lsr #12\n\t"   \
    "smlad %[b0], r2, r8, %[b0]\n\t"     \
    "smlad %[b1], r3, r8, %[b1]\n\t"

/* Four steps at a time from w to end, at least one time; registers as in ep_dot_joined. */
EP_INLINE void ep_dot_fours_of_nibbles(const int32_t **from, const int32_t **weights, const int32_t *end, ep_sums_t *sums) {
    const int32_t *x = *from, *w = *weights;
    __asm__ volatile("1:\n\t" EP_NIBBLE_STEP EP_NIBBLE_STEP EP_NIBBLE_STEP EP_NIBBLE_STEP "cmp %[w], %[end]\n\t"
                     "bne 1b"
                     : [x] "+r"(x), [w] "+r"(w), [a0] "+r"(sums->a0), [b0] "+r"(sums->b0), [a1] "+r"(sums->a1), [b1] "+r"(sums->b1)
                     : [end] "r"(end), [mask] "r"(EP_NIBBLES)
                     : "r2", "r3", "r6", "r8", "cc", "memory");
    *from = x;
    *weights = w;
}

/* As ep_dot, with one word for four taps of channels A and B: nibbles A0, A1, B0, B1, A2, A3, B2, B3, each with 8 added. */
EP_INLINE ep_sums_t ep_dot_wide_nibbles(int32_t groups, ep_sums_t sums, const int32_t *x, const int32_t *w) {
    const int32_t *const end = w + groups;
    if (groups >= 4) {
        ep_dot_fours_of_nibbles(&x, &w, end - groups % 4, &sums);
    }
    EP_ROLLED while (w != end) {
        const int32_t word = *w++, x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
        const int32_t a0 = word & EP_NIBBLES, a1 = word >> 4 & EP_NIBBLES, b0 = word >> 8 & EP_NIBBLES, b1 = word >> 12 & EP_NIBBLES;
        sums.a0 = __smlad(x2, a1, __smlad(x0, a0, sums.a0));
        sums.b0 = __smlad(x2, b1, __smlad(x0, b0, sums.b0));
        sums.a1 = __smlad(x3, a1, __smlad(x1, a0, sums.a1));
        sums.b1 = __smlad(x3, b1, __smlad(x1, b0, sums.b1));
        x += 4;
    }
    return sums;
}

#endif

#endif
