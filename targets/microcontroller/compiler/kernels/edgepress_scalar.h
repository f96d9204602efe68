/* Dot products without the DSP extension: two output channels at a time, so that each input is loaded once for both. */
#ifndef EDGEPRESS_SCALAR_H
#define EDGEPRESS_SCALAR_H

#include "edgepress_common.h"

/* Armv6-M has eight registers that can be loaded; the sums stay in the others, which can be added to. */
#if defined(__thumb__) && !defined(__thumb2__) && defined(__GNUC__)
#define EP_PAIR_STEP                          \
    "ldrsb %[x], [%[input], %[at]]\n\t"       \
    "ldrsb %[w], [%[first], %[at]]\n\t"       \
    "muls %[w], %[x], %[w]\n\t"               \
    "add %[sum0], %[w]\n\t"                   \
    "ldrsb %[w], [%[second], %[at]]\n\t"      \
    "muls %[w], %[x], %[w]\n\t"               \
    "add %[sum1], %[w]\n\t"                   \
    "adds %[at], %[at], #1\n\t"

EP_INLINE void ep_dot_fours(const int8_t *input, const int8_t *first, const int8_t *second, int32_t size, int32_t *sums) {
    int32_t at = -size, x, w, sum0 = sums[0], sum1 = sums[1];
    __asm__ volatile(".syntax unified\n"
                     "1:\n\t" EP_PAIR_STEP EP_PAIR_STEP EP_PAIR_STEP EP_PAIR_STEP "bne 1b"
                     : [at] "+l"(at), [x] "=&l"(x), [w] "=&l"(w), [sum0] "+h"(sum0), [sum1] "+h"(sum1)
                     : [input] "l"(input + size), [first] "l"(first + size), [second] "l"(second + size)
                     : "cc", "memory");
    sums[0] = sum0;
    sums[1] = sum1;
}
#else
EP_INLINE void ep_dot_fours(const int8_t *input, const int8_t *first, const int8_t *second, int32_t size, int32_t *sums) {
    const int8_t *const end = input + size;
    int32_t sum0 = sums[0], sum1 = sums[1];
    EP_ROLLED for (; input != end; input += 4, first += 4, second += 4) {
        sum0 += input[0] * first[0] + input[1] * first[1] + input[2] * first[2] + input[3] * first[3];
        sum1 += input[0] * second[0] + input[1] * second[1] + input[2] * second[2] + input[3] * second[3];
    }
    sums[0] = sum0;
    sums[1] = sum1;
}
#endif

/* Adds to both sums. */
EP_INLINE void ep_dot_pair(const int8_t *input, const int8_t *first, const int8_t *second, int32_t size, int32_t *sums) {
    const int32_t fours = size & ~3;
    if (fours > 0) {
        ep_dot_fours(input, first, second, fours, sums);
    }
    EP_ROLLED for (int32_t i = fours; i < size; i++) {
        sums[0] += input[i] * first[i];
        sums[1] += input[i] * second[i];
    }
}

#endif
