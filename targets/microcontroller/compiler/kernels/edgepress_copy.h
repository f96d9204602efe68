/* Copies a block of numbers from one layout to another: transposing, slicing, joining, repeating. Sizes and steps in bytes. */
#ifndef EDGEPRESS_COPY_H
#define EDGEPRESS_COPY_H

#include "edgepress_common.h"

/* Five loops around runs of `run` bytes that are contiguous on both sides. */
typedef struct {
    int32_t run, size0, size1, size2, size3, size4;
    int32_t from0, from1, from2, from3, from4, to0, to1, to2, to3, to4;
} ep_copy_t;

EP_INLINE void ep_copy(const ep_copy_t s, const void *input, void *output) {
    for (int32_t a = 0; a < s.size0; a++) {
        for (int32_t b = 0; b < s.size1; b++) {
            for (int32_t c = 0; c < s.size2; c++) {
                for (int32_t d = 0; d < s.size3; d++) {
                    const int8_t *from = (const int8_t *)input + a * s.from0 + b * s.from1 + c * s.from2 + d * s.from3;
                    int8_t *to = (int8_t *)output + a * s.to0 + b * s.to1 + c * s.to2 + d * s.to3;
                    for (int32_t e = 0; e < s.size4; e++) {
                        EP_COPY(to + e * s.to4, from + e * s.from4, (size_t)s.run);
                    }
                }
            }
        }
    }
}

#endif
