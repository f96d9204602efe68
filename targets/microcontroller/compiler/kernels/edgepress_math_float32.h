/* Functions of floats, exact to a few units in the last place and the same on every core: no mathematics library is needed. */
#ifndef EDGEPRESS_MATH_FLOAT32_H
#define EDGEPRESS_MATH_FLOAT32_H

#include "edgepress_number_float32.h"

/* 2^exponent, from -126 to 127. */
EP_INLINE float ep_power_of_two(int32_t exponent) {
    const uint32_t bits = (uint32_t)(exponent + 127) << 23;
    float result;
    EP_COPY(&result, &bits, sizeof result);
    return result;
}

/* exp(x) - 1 as (2^whole - 1) + 2^whole * series, where the series has x without whole times log(2). */
EP_INLINE float ep_exp_series(float x, int32_t *whole) {
    *whole = (int32_t)(x * 1.442695041F + (x < 0.0F ? -0.5F : 0.5F));
    const float r = (x - (float)*whole * 0.693359375F) + (float)*whole * 2.12194440e-4F;
    float sum = 1.0F / 5040.0F;
    sum = sum * r + 1.0F / 720.0F;
    sum = sum * r + 1.0F / 120.0F;
    sum = sum * r + 1.0F / 24.0F;
    sum = sum * r + 1.0F / 6.0F;
    sum = sum * r + 0.5F;
    return sum * r * r + r;
}

EP_INLINE float ep_exp(float x) {
    int32_t whole;
    const float limited = x > 88.7F ? 88.7F : x > -87.3F ? x : -87.3F;
    const float series = ep_exp_series(limited, &whole);
    return x < -87.3F ? 0.0F : (series + 1.0F) * ep_power_of_two(whole - 1) * 2.0F;
}

EP_INLINE float ep_exp_minus_one(float x) {
    int32_t whole;
    const float series = ep_exp_series(x > 87.0F ? 87.0F : x > -87.0F ? x : -87.0F, &whole);
    const float power = ep_power_of_two(whole);
    return power * series + (power - 1.0F);
}

EP_INLINE float ep_tanh(float x) {
    const float magnitude = x < 0.0F ? -x : x;
    const float power = ep_exp_minus_one(magnitude > 10.0F ? 20.0F : 2.0F * magnitude);
    return x < 0.0F ? -(power / (power + 2.0F)) : power / (power + 2.0F);
}

EP_INLINE float ep_logistic(float x) { return x < -9.0F ? ep_exp(x) : 1.0F / (1.0F + ep_exp(-x)); }
EP_INLINE float ep_elu(float x) { return x < 0.0F ? ep_exp_minus_one(x) : x; }
EP_INLINE float ep_leaky_relu(float x, float slope) { return x > 0.0F ? x : x * slope; }
EP_INLINE float ep_hard_swish(float x) { return x * ep_clamp_float32(x + 3.0F, 0, 6) / 6.0F; }
EP_INLINE float ep_gelu_approximate(float x) { return 0.5F * x * (1.0F + ep_tanh(0.797884561F * (x + 0.044715F * x * x * x))); }

EP_INLINE void ep_softmax_float32(int32_t rows, int32_t depth, float beta, const float *input, float *output) {
    for (int32_t row = 0; row < rows; row++) {
        float largest = input[0], sum = 0.0F;
        for (int32_t i = 1; i < depth; i++) {
            largest = ep_max_float32(largest, input[i]);
        }
        for (int32_t i = 0; i < depth; i++) {
            output[i] = ep_exp((input[i] - largest) * beta);
            sum += output[i];
        }
        for (int32_t i = 0; i < depth; i++) {
            output[i] /= sum;
        }
        input += depth;
        output += depth;
    }
}

#endif
