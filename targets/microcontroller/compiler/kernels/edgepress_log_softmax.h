/* The logarithm of softmax over the last axis, int8, in gemmlowp's fixed point. `exponentials` are those of edgepress_softmax.h. */
#ifndef EDGEPRESS_LOG_SOFTMAX_H
#define EDGEPRESS_LOG_SOFTMAX_H

#include "edgepress_fixed_point.h"

/* `radius` is the largest difference from a row's largest number that counts; differences become Q5.26 by multiplier and shift, and
   are made of Q5.26 by the reverse ones. */
typedef struct {
    int32_t rows, depth, differences, radius, multiplier, shift, reverse_multiplier, reverse_shift;
} ep_log_softmax_t;

/* log(x) in Q5.26 for x >= 1 in Q12.19: x is 2^n times something near 1, whose logarithm is a quotient of polynomials. */
EP_INLINE int32_t ep_log(int32_t x) {
    const int32_t root_of_half = 1518500250, fourth_root_of_half = 1805811301, log_of_2 = 1488522236, quarter = 1 << 23;
    const int32_t zeros = ep_leading_zeros((uint32_t)x);
    const int32_t upper = ep_saturating_left_shift(ep_multiply_high(ep_saturating_left_shift(x, zeros - 1), root_of_half), 1);
    const int32_t upper_power = ep_saturating_left_shift(12 - zeros, 25) + quarter;
    const int32_t lower_zeros = ep_leading_zeros((uint32_t)ep_multiply_high(x, root_of_half)) - 1;
    const int32_t lower = ep_saturating_left_shift(x, lower_zeros);
    const int32_t lower_power = ep_saturating_left_shift(12 - lower_zeros, 25) - quarter;
    const int32_t r = ep_min(upper, lower);
    const int32_t power = ep_max(upper_power, lower_power);
    const int64_t sum = (int64_t)r + fourth_root_of_half;
    const int32_t p = (int32_t)((sum + (sum >= 0 ? 1 : -1)) / 2);
    const int32_t q = 2 * (r - fourth_root_of_half);
    const int32_t square = ep_multiply_high(q, q);
    const int32_t numerator = ep_multiply_high(q, r) + ep_multiply_high(ep_multiply_high(q, square), 117049297);
    const int32_t inner = 1057819769 + q + ep_multiply_high(square, 127690142);
    const int32_t denominator = ep_multiply_high(p, inner) + ep_multiply_high(q, 638450708);
    const int32_t rest = ep_multiply_high(ep_rounding_shift(numerator, 6), ep_reciprocal(denominator));
    return ep_saturating_left_shift(ep_multiply_high(power, log_of_2) + rest, 1);
}

EP_INLINE void ep_log_softmax(const ep_log_softmax_t s, const int8_t *input, const int32_t *exponentials, int8_t *output) {
    for (int32_t row = 0; row < s.rows; row++) {
        int32_t largest = INT8_MIN;
        for (int32_t i = 0; i < s.depth; i++) {
            largest = ep_max(largest, input[i]);
        }
        int32_t sum = 0;
        for (int32_t i = 0; i < s.depth; i++) {
            const int32_t difference = largest - input[i];
            sum += difference < s.differences ? ep_rounding_shift(exponentials[difference], 12) : 0;
        }
        const int32_t logarithm = ep_log(sum);
        const int32_t reverse = ep_requantize((int32_t)((uint32_t)logarithm + 0x80000000u), s.reverse_multiplier, s.reverse_shift);
        const int32_t lowest = ep_max(-s.radius - 1, reverse);
        for (int32_t i = 0; i < s.depth; i++) {
            const int32_t difference = input[i] - largest;
            int32_t result = INT8_MIN;
            if (difference > lowest) {
                result = 127 + ep_rounding_shift(ep_requantize(difference, s.multiplier, s.shift) - logarithm, 22);
            }
            output[i] = (int8_t)ep_clamp(result, INT8_MIN, INT8_MAX);
        }
        input += s.depth;
        output += s.depth;
    }
}

#endif
