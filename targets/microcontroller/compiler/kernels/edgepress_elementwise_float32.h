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

#endif
