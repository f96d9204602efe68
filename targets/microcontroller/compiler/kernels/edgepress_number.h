/* The arithmetic of int8 tensors, where kernels for several types need it. */
#ifndef EDGEPRESS_NUMBER_H
#define EDGEPRESS_NUMBER_H

#include "edgepress_common.h"

#define EP_LOWEST INT8_MIN
EP_INLINE int8_t ep_saturated(int32_t x) { return (int8_t)ep_clamp(x, INT8_MIN, INT8_MAX); }

/* sum / count, rounded half away from zero. */
EP_INLINE int32_t ep_average(int32_t sum, int32_t count) { return (sum > 0 ? sum + count / 2 : sum - count / 2) / count; }

#endif
