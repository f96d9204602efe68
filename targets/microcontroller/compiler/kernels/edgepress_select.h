/* Numbers of one of two tensors, as truths say, with broadcasting. */
#ifndef EDGEPRESS_SELECT_H
#define EDGEPRESS_SELECT_H

#include "edgepress_common.h"

/* Sizes of four loops, and how far each input goes on in each, in bytes; a number has `run` bytes. The output is contiguous. */
typedef struct {
    int32_t size0, size1, size2, size3;
    int32_t truth0, truth1, truth2, truth3, first0, first1, first2, first3, second0, second1, second2, second3;
    int32_t run;
} ep_select_t;

EP_INLINE void ep_select(const ep_select_t s, const uint8_t *truth, const void *first, const void *second, void *output) {
    int8_t *to = (int8_t *)output;
    for (int32_t a = 0; a < s.size0; a++) {
        for (int32_t b = 0; b < s.size1; b++) {
            for (int32_t c = 0; c < s.size2; c++) {
                for (int32_t d = 0; d < s.size3; d++) {
                    const int8_t *x = (const int8_t *)first + a * s.first0 + b * s.first1 + c * s.first2 + d * s.first3;
                    const int8_t *y = (const int8_t *)second + a * s.second0 + b * s.second1 + c * s.second2 + d * s.second3;
                    const int32_t at = a * s.truth0 + b * s.truth1 + c * s.truth2 + d * s.truth3;
                    EP_COPY(to, truth[at] ? x : y, (size_t)s.run);
                    to += s.run;
                }
            }
        }
    }
}

#endif
