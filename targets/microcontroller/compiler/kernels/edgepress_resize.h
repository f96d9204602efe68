/* Images of another size, NHWC; where rows and columns come from is told by tables. */
#ifndef EDGEPRESS_RESIZE_H
#define EDGEPRESS_RESIZE_H

#include "edgepress_common.h"

/* Pixels of `pixel` bytes: each comes from the row and column of the input that the tables say. */
EP_INLINE void ep_resize_nearest(int32_t height, int32_t width, int32_t input_width, int32_t pixel, const void *input, const int16_t *rows,
                                 const int16_t *columns, void *output) {
    int8_t *to = output;
    for (int32_t y = 0; y < height; y++) {
        for (int32_t x = 0; x < width; x++) {
            EP_COPY(to, (const int8_t *)input + (rows[y] * input_width + columns[x]) * pixel, (size_t)pixel);
            to += pixel;
        }
    }
}

/* Int8 between four pixels. A table has three numbers an entry: the lower and the upper neighbour, and how far the upper one weighs, in 1024ths. */
EP_INLINE void ep_resize_bilinear(int32_t height, int32_t width, int32_t input_width, int32_t channels, const int8_t *input,
                                  const int16_t *rows, const int16_t *columns, int8_t *output) {
    for (int32_t y = 0; y < height; y++) {
        const int8_t *const upper = input + rows[3 * y] * input_width * channels;
        const int8_t *const lower = input + rows[3 * y + 1] * input_width * channels;
        const int32_t down = rows[3 * y + 2];
        for (int32_t x = 0; x < width; x++) {
            const int32_t left = columns[3 * x] * channels, right = columns[3 * x + 1] * channels, along = columns[3 * x + 2];
            for (int32_t c = 0; c < channels; c++) {
                const int32_t above = upper[left + c] * (1024 - along) + upper[right + c] * along;
                const int32_t below = lower[left + c] * (1024 - along) + lower[right + c] * along;
                const int32_t sum = above * (1024 - down) + below * down;
                *output++ = (int8_t)((sum + (sum > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20));
            }
        }
    }
}

#endif
