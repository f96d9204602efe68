/* The two functions of <string.h> that freestanding C needs; their code comes with the compiler. */
#ifndef EDGEPRESS_STRING_H
#define EDGEPRESS_STRING_H
#include <stddef.h>
void *memcpy(void *restrict destination, const void *restrict source, size_t bytes);
void *memmove(void *destination, const void *source, size_t bytes);
void *memset(void *destination, int value, size_t bytes);
#endif
