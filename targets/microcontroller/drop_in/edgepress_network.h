/* A network with buffers of its own and one sample whose output is known, so that a firmware can check itself. C99, freestanding. */
#ifndef EDGEPRESS_NETWORK_H
#define EDGEPRESS_NETWORK_H

#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define EP_BUFFER(name, bytes) static uint8_t name[bytes] __attribute__((aligned(16)))
#else
#define EP_BUFFER(name, bytes) static _Alignas(16) uint8_t name[bytes]
#endif

typedef struct {
    uint8_t *buffer;     /* what the network reads or writes */
    const uint8_t *test; /* the known sample's */
    uint32_t bytes;
} EpTensor;

typedef struct {
    const char *name;
    uint8_t hash[16];    /* of the network's sources: what edgepress knows it by */
    void (*run)(void);   /* inputs' buffers to outputs' buffers */
    const EpTensor *inputs;
    const EpTensor *outputs;
    uint32_t input_count;
    uint32_t output_count;
} EpNetwork;

/* 1 where the known sample gives the known output, byte for byte, else 0. */
static inline int ep_self_test(const EpNetwork *network) {
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < network->input_count; i++)
        memcpy(network->inputs[i].buffer, network->inputs[i].test, network->inputs[i].bytes);
    for (uint32_t i = 0; i < network->output_count; i++)
        for (uint32_t at = 0; at < network->outputs[i].bytes; at++)
            network->outputs[i].buffer[at] = (uint8_t)~network->outputs[i].test[at];
    network->run();
    for (uint32_t i = 0; i < network->output_count; i++)
        for (uint32_t at = 0; at < network->outputs[i].bytes; at++)
            wrong += network->outputs[i].buffer[at] != network->outputs[i].test[at];
    return wrong == 0;
}

#endif
