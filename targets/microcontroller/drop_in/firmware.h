/* The network with buffers and a stored sample of its own: what the example and the serial line run. Needs more RAM than @name@.h alone. */
#ifndef EDGEPRESS_@NAME@_FIRMWARE_H
#define EDGEPRESS_@NAME@_FIRMWARE_H

#include "edgepress_network.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const EpNetwork @name@_firmware;

#ifdef __cplusplus
}
#endif

#endif
