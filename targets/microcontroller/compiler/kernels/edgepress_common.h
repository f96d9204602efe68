/* What every kernel uses: fixed-point requantization as TFLite's reference does it. C99, little-endian, two's complement. */
#ifndef EDGEPRESS_COMMON_H
#define EDGEPRESS_COMMON_H

#include <stdint.h>
#include <string.h>

/* Armv8.1-M with vectors of integers, which take the DSP extension's place; -DEP_MVE=0 leaves them unused. */
#if !defined(EP_MVE)
#if defined(__ARM_FEATURE_MVE) && defined(__GNUC__)
#define EP_MVE 1
#else
#define EP_MVE 0
#endif
#endif

/* Armv7E-M and Armv8-M with the DSP extension; -DEP_DSP=0 leaves it unused. */
#if !defined(EP_DSP)
#if !EP_MVE && defined(__ARM_FEATURE_DSP) && defined(__thumb2__) && defined(__GNUC__)
#define EP_DSP 1
#else
#define EP_DSP 0
#endif
#endif

/* In front of a loop: the compiler leaves it rolled up. */
#if defined(__clang__)
#define EP_ROLLED _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__) && __GNUC__ >= 8
#define EP_ROLLED _Pragma("GCC unroll 1")
#else
#define EP_ROLLED
#endif

#if defined(__GNUC__)
#define EP_INLINE static inline __attribute__((always_inline, unused))
#define EP_LAYER static __attribute__((noinline))
#define EP_ALIGN __attribute__((aligned(4)))
#else
#define EP_INLINE static inline
#define EP_LAYER static
#define EP_ALIGN
#endif

/* Small copies become single instructions, also where -ffreestanding keeps the compiler from knowing memcpy by its name. */
#if defined(__GNUC__)
#define EP_COPY __builtin_memcpy
#define EP_FILL __builtin_memset
#else
#define EP_COPY memcpy
#define EP_FILL memset
#endif

EP_INLINE int32_t ep_min(int32_t a, int32_t b) { return a < b ? a : b; }
EP_INLINE int32_t ep_max(int32_t a, int32_t b) { return a > b ? a : b; }
EP_INLINE int32_t ep_clamp(int32_t x, int32_t low, int32_t high) { return ep_min(ep_max(x, low), high); }

/* Moves bytes towards the front of the memory in which they lie: what memmove does, with less code. */
EP_INLINE void ep_move_forward(void *to, const void *from, int32_t size) {
    EP_ROLLED for (int32_t i = 0; i < size; i++) {
        ((int8_t *)to)[i] = ((const int8_t *)from)[i];
    }
}

/* x / 2^bits, rounded half away from zero; 0 <= bits <= 31. */
EP_INLINE int32_t ep_rounding_shift(int32_t x, int32_t bits) {
    const int32_t mask = (int32_t)((1u << bits) - 1u);
    const int32_t threshold = (mask >> 1) + (x < 0);
    return (x >> bits) + ((x & mask) > threshold);
}

/* x * multiplier * 2^-31, rounded half up; multiplier >= 0. */
EP_INLINE int32_t ep_multiply_high(int32_t x, int32_t multiplier) {
    return (int32_t)(((int64_t)x * multiplier + ((int64_t)1 << 30)) >> 31);
}

/* The same for |x| < 2^30, which is one instruction where there is a DSP extension. */
EP_INLINE int32_t ep_multiply_high_small(int32_t x, int32_t multiplier) {
#if EP_DSP
    int32_t high;
    __asm__("smmulr %0, %1, %2" : "=r"(high) : "r"(x * 2), "r"(multiplier));
    return high;
#else
    return ep_multiply_high(x, multiplier);
#endif
}

/* x * multiplier * 2^-31 * 2^-shift, with the reference's two roundings; a negative shift goes to the left, before the multiplication. */
EP_INLINE int32_t ep_requantize(int32_t x, int32_t multiplier, int32_t shift) {
    const int32_t left = shift < 0 ? -shift : 0;
    const int32_t right = shift < 0 ? 0 : shift;
    return ep_rounding_shift(ep_multiply_high((int32_t)((uint32_t)x << left), multiplier), right);
}

/* The same for |x| < 2^30 and 0 <= shift <= 30. */
EP_INLINE int32_t ep_requantize_small(int32_t x, int32_t multiplier, int32_t shift) {
    const int32_t high = ep_multiply_high_small(x, multiplier);
    return shift == 0 ? high : (high + (high >> 31) + (1 << (shift - 1))) >> shift;
}

#endif
