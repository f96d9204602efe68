/* The arithmetic of int16 tensors, which have no zero point. */
#ifndef EDGEPRESS_INT16_H
#define EDGEPRESS_INT16_H

#include "edgepress_common.h"

#define EP_LOWEST_int16 INT16_MIN
EP_INLINE int16_t ep_saturated_int16(int32_t x) { return (int16_t)ep_clamp(x, INT16_MIN, INT16_MAX); }

#endif
