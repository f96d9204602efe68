/* Functions of int16 numbers by tables, between whose entries lines are drawn. */
#ifndef EDGEPRESS_TABLES_INT16_H
#define EDGEPRESS_TABLES_INT16_H

#include "edgepress_common.h"

/* A table of 513 entries, one for every 128 numbers. */
EP_INLINE int32_t ep_interpolated(const int16_t *table, int32_t x) {
    const int16_t *const entry = table + 256 + (x >> 7);
    return entry[0] + (((entry[1] - entry[0]) * (x & 127) + 64) >> 7);
}

EP_INLINE void ep_lookup_int16(int32_t size, const int16_t *input, const int16_t *table, int16_t *output) {
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int16_t)ep_interpolated(table, input[i]);
    }
}

/* The logistic function, or the hyperbolic tangent, in Q0.15. The table has 256 entries of the logistic function in Q0.16 at every 24th of
   1; multiplier and shift bring the input there, with 9 bits more, or with 8 for the tangent. */
EP_INLINE void ep_sigmoid(int32_t size, int32_t tangent, int32_t multiplier, int32_t shift, const int16_t *input, const uint16_t *table,
                          int16_t *output) {
    const int32_t bits = tangent ? 8 : 9, half = shift > 0 ? 1 << (shift - 1) : 0;
    for (int32_t i = 0; i < size; i++) {
        const int32_t x = (input[i] * multiplier + half) >> shift;
        const int32_t magnitude = x < 0 ? -x : x, at = magnitude >> bits;
        int32_t result = tangent ? 0xffff << 8 : 0x7fff << 10;
        if (at < 255) {
            result = (table[at] << bits) + (magnitude & ((1 << bits) - 1)) * (table[at + 1] - table[at]);
        }
        if (tangent) {
            const int32_t above = result - (1 << 23);
            output[i] = (int16_t)((x >= 0 ? above + 128 : 127 - above) >> 8);
        } else {
            output[i] = (int16_t)((x >= 0 ? result + 512 : (1 << 25) - result + 511) >> 10);
        }
    }
}

/* Exponentials of differences between -10 and 0, and reciprocals of 1 + x, both in Q0.15. */
EP_INLINE void ep_softmax_int16(int32_t rows, int32_t depth, int32_t multiplier, int32_t shift, const int16_t *input,
                                const int16_t *exponentials, const int16_t *reciprocals, int16_t *output) {
    for (int32_t row = 0; row < rows; row++) {
        int32_t largest = INT16_MIN, sum = 0;
        for (int32_t i = 0; i < depth; i++) {
            largest = ep_max(largest, input[i]);
        }
        for (int32_t i = 0; i < depth; i++) {
            const int32_t place = ep_clamp(ep_requantize(input[i] - largest, multiplier, shift) + INT16_MAX, INT16_MIN, INT16_MAX);
            output[i] = (int16_t)ep_interpolated(exponentials, place);
            sum += output[i];
        }
        int32_t zeros = 0;
        while (((uint32_t)sum << zeros) < 0x80000000u) {
            zeros++;
        }
        const int32_t mantissa = (int32_t)((((int64_t)sum << (zeros - 1)) + (1 << 13)) >> 14) - (1 << 15) - (1 << 16);
        const int32_t scale = ep_interpolated(reciprocals, ep_clamp(mantissa, INT16_MIN, INT16_MAX));
        for (int32_t i = 0; i < depth; i++) {
            output[i] = (int16_t)ep_clamp((output[i] * scale + (1 << (30 - zeros))) >> (31 - zeros), 0, INT16_MAX);
        }
        input += depth;
        output += depth;
    }
}

#endif
