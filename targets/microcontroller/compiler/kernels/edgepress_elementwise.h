/* Operators that work number by number, int8: tables of one input, arithmetic of two; the loops around it are in edgepress_binary.h. */
#ifndef EDGEPRESS_ELEMENTWISE_H
#define EDGEPRESS_ELEMENTWISE_H

#include "edgepress_fixed_point.h"
#include "edgepress_mve.h"

/* Every int8 function of one input is a table, in the order of the input's bits: 0 to 127, then -128 to -1. */
EP_INLINE void ep_lookup(int32_t size, const int8_t *input, const int8_t *table, int8_t *output) {
    for (int32_t i = 0; i < size; i++) {
        output[i] = table[(uint8_t)input[i]];
    }
}

/* Sizes of four loops and how far each input goes on in each; 0 repeats it. The output is contiguous. */
typedef struct {
    int32_t size0, size1, size2, size3;
    int32_t first0, first1, first2, first3, second0, second1, second2, second3;
    int32_t first_zero_point, second_zero_point, output_zero_point, lowest, highest;
    int32_t first_multiplier, first_shift, second_multiplier, second_shift, output_multiplier, output_shift;
} ep_binary_t;

/* (x << 20) * multiplier / 2^31 / 2^shift for |x| < 2^9; half is what the larger of two scales gets. */
EP_INLINE int32_t ep_scale_operand(int32_t x, int32_t multiplier, int32_t shift) {
    const int32_t raised = x * (1 << 20);
    return multiplier == 1 << 30 && shift == 0 ? raised / 2 : ep_requantize_small(raised, multiplier, shift);
}

EP_INLINE int32_t ep_add_one(const ep_binary_t s, int32_t first, int32_t second, int32_t sign) {
    const int32_t a = ep_scale_operand(first - s.first_zero_point, s.first_multiplier, s.first_shift);
    const int32_t b = ep_scale_operand(second - s.second_zero_point, s.second_multiplier, s.second_shift);
    return ep_requantize(a + sign * b, s.output_multiplier, s.output_shift);
}

EP_INLINE int32_t ep_multiply_one(const ep_binary_t s, int32_t first, int32_t second) {
    const int32_t product = (first - s.first_zero_point) * (second - s.second_zero_point);
    return ep_requantize(product, s.output_multiplier, s.output_shift);
}

/* Both are brought to a common scale with 7 more bits. */
EP_INLINE int32_t ep_squared_difference_one(const ep_binary_t s, int32_t first, int32_t second) {
    const int32_t a = ep_requantize_small((first - s.first_zero_point) * 128, s.first_multiplier, s.first_shift);
    const int32_t b = ep_requantize_small((second - s.second_zero_point) * 128, s.second_multiplier, s.second_shift);
    return ep_requantize((a - b) * (a - b), s.output_multiplier, s.output_shift);
}

/* The first number where it isn't negative, else the product. */
EP_INLINE int32_t ep_prelu_one(const ep_binary_t s, int32_t first, int32_t second) {
    const int32_t x = first - s.first_zero_point;
    return x >= 0 ? ep_requantize(x, s.first_multiplier, s.first_shift) : ep_multiply_one(s, first, second);
}

/* Beyond all limits where the divisor is 0, on the dividend's side. */
EP_INLINE int32_t ep_divide_one(const ep_binary_t s, int32_t first, int32_t second) {
    const int32_t divisor = second - s.second_zero_point;
    const int32_t x = divisor < 0 ? s.first_zero_point - first : first - s.first_zero_point;
    if (x == 0 || divisor == 0) {
        return (x > 0) * 1024 - (x < 0) * 1024;
    }
    const uint32_t magnitude = (uint32_t)(divisor < 0 ? -divisor : divisor);
    const int32_t zeros = ep_leading_zeros(magnitude);
    const int32_t headroom = ep_leading_zeros((uint32_t)(x < 0 ? -x - 1 : x)) - 1;
    const int32_t quotient = ep_multiply_high((int32_t)((uint32_t)x << headroom), ep_reciprocal((int32_t)((magnitude << zeros) - 0x80000000u)));
    const int32_t shift = s.output_shift + 31 - zeros + headroom;
    if (shift > 31) {
        return 0;
    }
    return ep_clamp(ep_requantize(quotient, s.output_multiplier, ep_max(shift, 0)), -1024, 1024);
}

/* Comparisons, of numbers brought to real ones with 8 more bits: 1 where it holds. */
EP_INLINE int32_t ep_compare_one(const ep_binary_t s, char operation, int32_t first, int32_t second) {
    const int32_t a = ep_requantize_small((first - s.first_zero_point) * 256, s.first_multiplier, s.first_shift);
    const int32_t b = ep_requantize_small((second - s.second_zero_point) * 256, s.second_multiplier, s.second_shift);
    switch (operation) {
    case '=':
        return a == b;
    case '!':
        return a != b;
    case 'l':
        return a < b;
    case 'm':
        return a <= b;
    case 'g':
        return a > b;
    default:
        return a >= b;
    }
}

EP_INLINE int32_t ep_binary_one(const ep_binary_t s, char operation, int32_t first, int32_t second) {
    int32_t result = 0;
    switch (operation) {
    case '>':
        return ep_max(first, second);
    case '<':
        return ep_min(first, second);
    case '&':
        return first & second;
    case '|':
        return first | second;
    case '=':
    case '!':
    case 'l':
    case 'm':
    case 'g':
    case 'h':
        return ep_compare_one(s, operation, first, second);
    case '*':
        result = ep_multiply_one(s, first, second);
        break;
    case '/':
        result = ep_divide_one(s, first, second);
        break;
    case 'd':
        result = ep_squared_difference_one(s, first, second);
        break;
    case 'p':
        result = ep_prelu_one(s, first, second);
        break;
    default:
        result = ep_add_one(s, first, second, operation == '+' ? 1 : -1);
    }
    return ep_clamp(result + s.output_zero_point, s.lowest, s.highest);
}

#if EP_MVE

EP_INLINE int32x4_t ep_vector_operand(const int8_t *from, mve_pred16_t lanes, int32_t zero_point, int32_t multiplier, int32_t shift) {
    const int32x4_t x = vsubq_n_s32(vldrbq_z_s32(from, lanes), zero_point);
    return ep_vector_requantize(vshlq_n_s32(x, 20), vdupq_n_s32(multiplier), vdupq_n_s32(shift), 1);
}

EP_INLINE void ep_add_row(const ep_binary_t s, int32_t sign, const int8_t *first, const int8_t *second, int8_t *output) {
    EP_ROLLED for (int32_t rest = s.size3; rest > 0; rest -= 4) {
        const mve_pred16_t lanes = vctp32q((uint32_t)rest);
        const int32x4_t a = ep_vector_operand(first, lanes, s.first_zero_point, s.first_multiplier, s.first_shift);
        const int32x4_t b = ep_vector_operand(second, lanes, s.second_zero_point, s.second_multiplier, s.second_shift);
        const int32x4_t sums = vmlaq_n_s32(a, b, sign);
        const int32x4_t scaled = ep_vector_requantize(sums, vdupq_n_s32(s.output_multiplier), vdupq_n_s32(s.output_shift), 1);
        vstrbq_p_s32(output, ep_vector_clamp(vaddq_n_s32(scaled, s.output_zero_point), s.lowest, s.highest), lanes);
        first += 4;
        second += 4;
        output += 4;
    }
}

#endif

/* The innermost loop. */
EP_INLINE void ep_binary_row(const ep_binary_t s, char operation, const int8_t *first, const int8_t *second, int8_t *output) {
#if EP_MVE
    if ((operation == '+' || operation == '-') && s.first3 == 1 && s.second3 == 1) {
        ep_add_row(s, operation == '+' ? 1 : -1, first, second, output);
        return;
    }
#endif
    for (int32_t d = 0; d < s.size3; d++) {
        *output++ = (int8_t)ep_binary_one(s, operation, first[d * s.first3], second[d * s.second3]);
    }
}

#endif
