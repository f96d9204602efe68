/* A program for a phone around a compiled network: PROGRAM INPUTS OUTPUTS WARMUP REPETITIONS SECONDS.
 *
 * INPUTS holds the samples one after the other, each input's bytes in order; OUTPUTS is written likewise. The first sample is timed, for
 * so many seconds at least, but at most 100 times as often as REPETITIONS says: nanoseconds of each time are printed, a line each.
 * Ends with 0, or with 1 and a line that says what is wrong with the files.
 *
 * Built with -DRUN=function -DARENA_BYTES=n -DINPUT_BYTES=n,n -DOUTPUT_BYTES=n,n.
 */
#define _POSIX_C_SOURCE 200112L
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void RUN(const void *const inputs[], void *const outputs[], void *arena);

#define COUNT(sizes) (sizeof(sizes) / sizeof((sizes)[0]))

static const size_t input_bytes[] = {INPUT_BYTES};
static const size_t output_bytes[] = {OUTPUT_BYTES};
static uint8_t arena[ARENA_BYTES + 16] __attribute__((aligned(16)));
static uint8_t *inputs[COUNT(input_bytes)];
static uint8_t *outputs[COUNT(output_bytes)];

static void *room(size_t bytes)
{
    void *memory = NULL;
    if (posix_memalign(&memory, 16, bytes + 16) != 0) {
        puts("there is no memory left");
        exit(1);
    }
    return memory;
}

static FILE *opened(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    if (file == NULL) {
        printf("%s: %s\n", path, strerror(errno));
        exit(1);
    }
    return file;
}

static int next_sample(FILE *file)
{
    for (size_t i = 0; i < COUNT(input_bytes); i++) {
        if (fread(inputs[i], 1, input_bytes[i], file) != input_bytes[i]) {
            return 0;
        }
    }
    return 1;
}

static void infer(void)
{
    RUN((const void *const *)inputs, (void *const *)outputs, arena);
}

static void time_repetitions(long warmup, long repetitions, double seconds)
{
    long long spent = 0;
    for (long i = -warmup; i < repetitions || (spent < seconds * 1e9 && i < 100 * repetitions); i++) {
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        infer();
        clock_gettime(CLOCK_MONOTONIC, &end);
        if (i >= 0) {
            long long nanoseconds = (end.tv_sec - begin.tv_sec) * 1000000000LL + (end.tv_nsec - begin.tv_nsec);
            spent += nanoseconds;
            printf("%lld\n", nanoseconds);
        }
    }
}

int main(int count, char **arguments)
{
    if (count != 6) {
        puts("INPUTS OUTPUTS WARMUP REPETITIONS SECONDS");
        return 1;
    }
    for (size_t i = 0; i < COUNT(input_bytes); i++) {
        inputs[i] = room(input_bytes[i]);
    }
    for (size_t i = 0; i < COUNT(output_bytes); i++) {
        outputs[i] = room(output_bytes[i]);
    }
    FILE *samples = opened(arguments[1], "rb"), *results = opened(arguments[2], "wb");
    for (int first = 1; next_sample(samples); first = 0) {
        if (first) {
            time_repetitions(atol(arguments[3]), atol(arguments[4]), atof(arguments[5]));
        }
        infer();
        for (size_t i = 0; i < COUNT(output_bytes); i++) {
            fwrite(outputs[i], 1, output_bytes[i], results);
        }
    }
    if (fclose(results) != 0) {
        printf("%s: %s\n", arguments[2], strerror(errno));
        return 1;
    }
    return 0;
}
