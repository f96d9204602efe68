/* A sample of random numbers and what the network makes of it, as this C computed it when edgepress wrote it. */
#include "@name@_firmware.h"
#include "@name@.h"

EP_BUFFER(arena, @arena_bytes@);
@buffers@

@vectors@

static const EpTensor inputs[] = {@inputs@};
static const EpTensor outputs[] = {@outputs@};

static void run(void) {
    const void *const given[] = {@given@};
    void *const made[] = {@made@};
    @name@_run(given, made, arena);
}

const EpNetwork @name@_firmware = {
    .name = "@name@",
    .hash = {@hash@},
    .run = run,
    .inputs = inputs,
    .outputs = outputs,
    .input_count = @input_count@,
    .output_count = @output_count@,
};
