/* Dot products with the DSP extension: two pixels by two output channels at a time, four taps a step.

   Inputs are widened to int16 in pairs. Four taps k0..k3 of both pixels become four words: (k0, k2) of one, (k0, k2) of the other,
   (k1, k3) of one, (k1, k3) of the other. Weights of channels A and B stand in words of taps in the same order; a halfword holds
   256 * B + A where that fits, so that one word multiplies both channels at once: what the low bytes give, A, is then taken off. */
#ifndef EDGEPRESS_DSP_H
#define EDGEPRESS_DSP_H

#include "edgepress_common.h"

/* Channels A and B of pixels 0 and 1. */
typedef struct {
    int32_t a0, b0, a1, b1;
} ep_sums_t;

#if EP_DSP
#include <arm_acle.h>

EP_INLINE int32_t ep_load(const void *from) {
    int32_t word;
    EP_COPY(&word, from, sizeof word);
    return word;
}

EP_INLINE int32_t ep_odd(int32_t word) {
    int32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
}

/* `twice` * multiplier / 2^32, then / 2^shift, with the reference's two roundings, plus the zero point; 1 <= shift <= 31. The shift leaves
   the highest bit that it takes off in the carry: adding it rounds. */
EP_INLINE int32_t ep_requantize_twice(int32_t twice, int32_t multiplier, int32_t shift, int32_t zero_point) {
    int32_t result;
    __asm__("smmulr %0, %1, %2\n\t"
            "add %0, %0, %0, asr #31\n\t"
            "asrs %0, %0, %3\n\t"
            "adc %0, %0, %4"
            : "=&r"(result)
            : "r"(twice), "r"(multiplier), "r"(shift), "r"(zero_point)
            : "cc");
    return result;
}

/* Widens `size` bytes, a multiple of 4, for one of the two pixels. */
EP_INLINE int32_t *ep_widen(const int8_t *from, int32_t size, int32_t *to) {
    const int8_t *const end = from + size;
    EP_ROLLED for (; from != end; from += 4) {
        const int32_t word = ep_load(from);
        to[0] = __sxtb16(word);
        to[2] = ep_odd(word);
        to += 4;
    }
    return to;
}

/* The same for the last bytes, 1 to 3 of them, filled up with 0. */
EP_INLINE void ep_widen_rest(const int8_t *from, int32_t size, int32_t *to) {
    int32_t word = (uint8_t)from[0];
    word |= size > 1 ? (uint8_t)from[1] << 8 : 0;
    word |= size > 2 ? (uint8_t)from[2] << 16 : 0;
    to[0] = __sxtb16(word);
    to[2] = ep_odd(word);
}

/* The same for `size` times one value. */
EP_INLINE int32_t *ep_widen_value(int32_t value, int32_t size, int32_t *to) {
    const int32_t word = (int32_t)(((uint32_t)value & 0xffffu) * 0x10001u);
    int32_t *const end = to + size;
    EP_ROLLED for (; to != end; to += 4) {
        to[0] = word;
        to[2] = word;
    }
    return to;
}

EP_INLINE void ep_step(int32_t joined, const int32_t *x, const int32_t *w, ep_sums_t *sums) {
    const int32_t x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3], w0 = w[0], w1 = w[1];
    const int32_t a0 = __sxtb16(w0), b0 = joined ? w0 : ep_odd(w0);
    sums->a0 = __smlad(x0, a0, sums->a0);
    sums->b0 = __smlad(x0, b0, sums->b0);
    sums->a1 = __smlad(x1, a0, sums->a1);
    sums->b1 = __smlad(x1, b0, sums->b1);
    const int32_t a1 = __sxtb16(w1), b1 = joined ? w1 : ep_odd(w1);
    sums->a0 = __smlad(x2, a1, sums->a0);
    sums->b0 = __smlad(x2, b1, sums->b0);
    sums->a1 = __smlad(x3, a1, sums->a1);
    sums->b1 = __smlad(x3, b1, sums->b1);
}

/* Four steps at a time from w to end, at least one time. Registers are named because a multiple load takes them in order; r7 is left
   out because it may be the frame pointer. */
#define EP_JOINED_STEP                   \
    "ldmia %[x]!, {r2, r3, r4, r5}\n\t"  \
    "ldmia %[w]!, {r6, r8}\n\t"          \
    "smlad %[b0], r2, r6, %[b0]\n\t"     \
    "smlad %[b1], r3, r6, %[b1]\n\t"     \
    "sxtb16 r6, r6\n\t"                  \
    "smlad %[a0], r2, r6, %[a0]\n\t"     \
    "smlad %[a1], r3, r6, %[a1]\n\t"     \
    "smlad %[b0], r4, r8, %[b0]\n\t"     \
    "smlad %[b1], r5, r8, %[b1]\n\t"     \
    "sxtb16 r8, r8\n\t"                  \
    "smlad %[a0], r4, r8, %[a0]\n\t"     \
    "smlad %[a1], r5, r8, %[a1]\n\t"

EP_INLINE void ep_dot_joined(const int32_t **from, const int32_t **weights, const int32_t *end, ep_sums_t *sums) {
    const int32_t *x = *from, *w = *weights;
    __asm__ volatile("1:\n\t" EP_JOINED_STEP EP_JOINED_STEP EP_JOINED_STEP EP_JOINED_STEP "cmp %[w], %[end]\n\t"
                     "bne 1b"
                     : [x] "+r"(x), [w] "+r"(w), [a0] "+r"(sums->a0), [b0] "+r"(sums->b0), [a1] "+r"(sums->a1), [b1] "+r"(sums->b1)
                     : [end] "r"(end)
                     : "r2", "r3", "r4", "r5", "r6", "r8", "cc", "memory");
    *from = x;
    *weights = w;
}

/* Sums over `groups` times four taps: channels A and B of pixels 0 and 1. */
EP_INLINE ep_sums_t ep_dot(int32_t groups, int32_t joined, const int32_t *x, const int32_t *w) {
    ep_sums_t sums = {0, 0, 0, 0};
    const int32_t *const end = w + 2 * (groups - groups % 4);
    if (joined && groups >= 4) {
        ep_dot_joined(&x, &w, end, &sums);
    }
    EP_ROLLED while (w != end) {
        ep_step(joined, x, w, &sums);
        x += 4;
        w += 2;
    }
    for (int32_t i = 0; i < groups % 4; i++) {
        ep_step(joined, x + 4 * i, w + 2 * i, &sums);
    }
    const int32_t bits = joined ? 8 : 0;
    sums.b0 = (int32_t)((uint32_t)sums.b0 - (joined ? (uint32_t)sums.a0 : 0)) >> bits;
    sums.b1 = (int32_t)((uint32_t)sums.b1 - (joined ? (uint32_t)sums.a1 : 0)) >> bits;
    return sums;
}

#endif
#endif
