/* Arithmetic of two floats. */
#ifndef EDGEPRESS_ELEMENTWISE_FLOAT32_H
#define EDGEPRESS_ELEMENTWISE_FLOAT32_H

#include "edgepress_elementwise.h"
#include "edgepress_number_float32.h"

EP_INLINE float ep_binary_one_float32(const ep_binary_t s, char operation, float first, float second) {
    switch (operation) {
    case '>':
        return first > second ? first : second;
    case '<':
        return first < second ? first : second;
    case 'p':
        return first >= 0.0F ? first : first * second;
    case 'd':
        return (first - second) * (first - second);
    case '+':
        return ep_clamp_float32(first + second, s.lowest, s.highest);
    case '-':
        return ep_clamp_float32(first - second, s.lowest, s.highest);
    case '*':
        return ep_clamp_float32(first * second, s.lowest, s.highest);
    default:
        return ep_clamp_float32(first / second, s.lowest, s.highest);
    }
}

/* The innermost loop. */
EP_INLINE void ep_binary_row_float32(const ep_binary_t s, char operation, const float *first, const float *second, float *output) {
    for (int32_t d = 0; d < s.size3; d++) {
        *output++ = ep_binary_one_float32(s, operation, first[d * s.first3], second[d * s.second3]);
    }
}

#endif
