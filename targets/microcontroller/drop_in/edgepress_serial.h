/* Answers `edgepress profile --device serial://PORT`. Include it in one file of a firmware; the board's port supplies ep_serial_read and
   ep_serial_write, and, with EP_OWN_CYCLES defined, ep_cycles. C99, freestanding, no state.

   A frame is COBS-encoded and ends with a byte 0. It holds, little-endian,
     request: command, sequence, body, CRC-32        reply: status, sequence, body, CRC-32
     HELLO                                            version, 1 where the self test passes, 16 bytes of hash, name
     LOAD   input, offset (4 bytes), bytes            nothing
     RUN                                              cycles (4 bytes; 0 where the core has no counter)
     READ   output, offset (4 bytes), count           the bytes
   CRC-32 is that of zlib, over all before it. */
#ifndef EDGEPRESS_SERIAL_H
#define EDGEPRESS_SERIAL_H

#include "edgepress_network.h"

#ifdef __cplusplus
extern "C" {
#endif
uint8_t ep_serial_read(void); /* waits for a byte */
void ep_serial_write(const uint8_t *bytes, uint32_t count);
uint32_t ep_cycles(void); /* of a counter that wraps at 2^32; always 0 where there is none */
#ifdef __cplusplus
}
#endif

enum { EP_VERSION = 1, EP_CONTENT = 254, EP_OVERHEAD = 6 };
enum { EP_HELLO = 1, EP_LOAD = 2, EP_RUN = 3, EP_READ = 4 };
enum { EP_DONE = 0, EP_GARBLED = 1, EP_UNKNOWN = 2, EP_OUT_OF_RANGE = 3 };

#if !defined(EP_OWN_CYCLES)
#if defined(__ARM_ARCH_7M__) || defined(__ARM_ARCH_7EM__) || defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__)
/* The cycle counter of the core's debug unit (DWT), switched on where it isn't yet. */
uint32_t ep_cycles(void) {
    *(volatile uint32_t *)0xE000EDFCu |= 1u << 24;     /* DEMCR.TRCENA */
    *(volatile uint32_t *)0xE0001FB0u = 0xC5ACCE55u;   /* unlocks it on Cortex-M7 */
    *(volatile uint32_t *)0xE0001000u |= 1u;           /* DWT_CTRL.CYCCNTENA */
    return *(volatile uint32_t *)0xE0001004u;
}
#elif defined(__riscv)
uint32_t ep_cycles(void) {
    uint32_t cycles;
    __asm__ volatile("csrr %0, mcycle" : "=r"(cycles));
    return cycles;
}
#else
uint32_t ep_cycles(void) { return 0; }
#endif
#endif

static inline uint32_t ep_crc32(const uint8_t *bytes, uint32_t count) {
    uint32_t crc = 0xFFFFFFFFu;
    for (uint32_t at = 0; at < count; at++) {
        crc ^= bytes[at];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
    }
    return ~crc;
}

static inline void ep_put(uint8_t *bytes, uint32_t value) {
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

static inline uint32_t ep_get(const uint8_t *bytes) {
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* One frame, decoded, without its CRC; 0 where it is garbled or too long. */
static inline uint32_t ep_receive(uint8_t frame[EP_CONTENT + 2]) {
    uint32_t length = 0, made = 0, at = 0;
    for (uint8_t byte = ep_serial_read(); byte != 0 || length == 0; byte = ep_serial_read()) {
        if (byte != 0 && length < EP_CONTENT + 2)
            frame[length] = byte;
        length += byte != 0;
    }
    if (length > EP_CONTENT + 1)
        return 0;
    while (at < length) {
        const uint32_t code = frame[at++];
        if (code - 1 > length - at)
            return 0;
        for (uint32_t i = 1; i < code; i++)
            frame[made++] = frame[at++];
        if (at < length)
            frame[made++] = 0;
    }
    return made >= EP_OVERHEAD && ep_get(frame + made - 4) == ep_crc32(frame, made - 4) ? made - 4 : 0;
}

/* Sends `length` bytes of a reply, which has room for the CRC behind them. */
static inline void ep_send(uint8_t *reply, uint32_t length) {
    uint8_t frame[EP_CONTENT + 2];
    uint32_t code = 0, made = 1;
    ep_put(reply + length, ep_crc32(reply, length));
    for (uint32_t at = 0; at < length + 4; at++) {
        if (reply[at] == 0) {
            frame[code] = (uint8_t)(made - code);
            code = made;
        }
        frame[made++] = reply[at];
    }
    frame[code] = (uint8_t)(made - code);
    frame[made++] = 0;
    ep_serial_write(frame, made);
}

/* Where a LOAD or READ of `count` bytes goes; NULL where that is out of range. */
static inline uint8_t *ep_place(const EpTensor *tensors, uint32_t tensor_count, const uint8_t *request, uint32_t count) {
    const uint32_t tensor = request[2], offset = ep_get(request + 3);
    if (tensor >= tensor_count || offset > tensors[tensor].bytes || count > tensors[tensor].bytes - offset)
        return NULL;
    return tensors[tensor].buffer + offset;
}

/* Carries out a request of `length` bytes; the reply's length. */
static inline uint32_t ep_answer(const EpNetwork *network, const uint8_t *request, uint32_t length, uint8_t *reply) {
    const uint8_t command = length == 0 ? 0 : request[0];
    reply[0] = length == 0 ? EP_GARBLED : EP_UNKNOWN;
    reply[1] = length == 0 ? 0 : request[1];
    if (command == EP_HELLO) {
        uint32_t name = 0;
        for (; network->name[name] != 0; name++)
            reply[20 + name] = (uint8_t)network->name[name];
        reply[0] = EP_DONE;
        reply[2] = EP_VERSION;
        reply[3] = (uint8_t)ep_self_test(network);
        memcpy(reply + 4, network->hash, 16);
        return 20 + name;
    }
    if (command == EP_LOAD && length >= 7) {
        uint8_t *const place = ep_place(network->inputs, network->input_count, request, length - 7);
        reply[0] = place == NULL ? EP_OUT_OF_RANGE : EP_DONE;
        if (place != NULL)
            memcpy(place, request + 7, length - 7);
    }
    if (command == EP_RUN) {
        const uint32_t start = ep_cycles();
        network->run();
        ep_put(reply + 2, ep_cycles() - start);
        reply[0] = EP_DONE;
        return 6;
    }
    if (command == EP_READ && length == 8 && request[7] <= EP_CONTENT - EP_OVERHEAD) {
        const uint8_t *const place = ep_place(network->outputs, network->output_count, request, request[7]);
        reply[0] = place == NULL ? EP_OUT_OF_RANGE : EP_DONE;
        if (place != NULL) {
            memcpy(reply + 2, place, request[7]);
            return 2u + request[7];
        }
    }
    return 2;
}

/* Answers for ever. */
static inline void ep_serve(const EpNetwork *network) {
    uint8_t request[EP_CONTENT + 2], reply[EP_CONTENT];
    for (;;) {
        const uint32_t length = ep_receive(request);
        ep_send(reply, ep_answer(network, request, length, reply));
    }
}

#endif
