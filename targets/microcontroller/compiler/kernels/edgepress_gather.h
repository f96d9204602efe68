/* Entries of an axis, chosen by indices. An index out of range takes the nearest entry: no memory beside the input is read. */
#ifndef EDGEPRESS_GATHER_H
#define EDGEPRESS_GATHER_H

#include "edgepress_common.h"

/* The input is [batches][outer][size], the indices are [batches][count]; an entry is a run of bytes. */
typedef struct {
    int32_t batches, outer, size, count, run;
} ep_gather_t;

EP_INLINE void ep_gather(const ep_gather_t s, const void *input, const int32_t *indices, void *output) {
    const int8_t *from = (const int8_t *)input;
    int8_t *to = (int8_t *)output;
    for (int32_t batch = 0; batch < s.batches; batch++) {
        for (int32_t i = 0; i < s.outer; i++) {
            for (int32_t j = 0; j < s.count; j++) {
                EP_COPY(to, from + ep_clamp(indices[j], 0, s.size - 1) * s.run, (size_t)s.run);
                to += s.run;
            }
            from += s.size * s.run;
        }
        indices += s.count;
    }
}

#endif
