/* Runs the network on a stored sample and ends with 0 if the output is the stored one. With EP_SERIAL defined, and ep_serial_read and
   ep_serial_write supplied by the board's port, it then answers edgepress over the serial line. */
#include "@name@_firmware.h"
#ifdef EP_SERIAL
#include "edgepress_serial.h"
#endif

int main(void) {
    const int passed = ep_self_test(&@name@_firmware);
#ifdef EP_SERIAL
    ep_serve(&@name@_firmware);
#endif
    return passed ? 0 : 1;
}
