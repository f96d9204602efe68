/* Operators of two tensors, with broadcasting. */
#ifndef EDGEPRESS_BINARY_T_H
#define EDGEPRESS_BINARY_T_H

#include "edgepress_elementwise_T.h"

EP_INLINE void ep_binary_T(const ep_binary_t s, char operation, const element_t *first, const element_t *second, element_t *output) {
    for (int32_t a = 0; a < s.size0; a++) {
        for (int32_t b = 0; b < s.size1; b++) {
            for (int32_t c = 0; c < s.size2; c++) {
                const element_t *x = first + a * s.first0 + b * s.first1 + c * s.first2;
                const element_t *y = second + a * s.second0 + b * s.second1 + c * s.second2;
                ep_binary_row_T(s, operation, x, y, output);
                output += s.size3;
            }
        }
    }
}

#endif
