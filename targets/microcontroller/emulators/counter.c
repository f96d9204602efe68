/* Hooks that the emulator calls natively: how often every block ran and went on in line, and how deep the stack grew. */
#include <stdint.h>

typedef struct {
    uint64_t base;          /* first address of code */
    uint64_t length;        /* bytes of code */
    uint64_t *executions;   /* of the block that starts at base + 2 i */
    uint64_t *fallthroughs; /* times that its last branch was not taken */
    uint32_t *sizes;        /* its length in bytes */
    uint64_t outside;       /* blocks that ran elsewhere */
    uint64_t next;          /* address behind the block that ran last */
    uint64_t last;          /* index of the block that ran last */
    uint64_t lowest_stack;
    int (*read_register)(void *engine, int register_id, void *value);
    int32_t stack_register;
} Counter;

void count_block(void *engine, uint64_t address, uint32_t size, void *data)
{
    Counter *counter = data;
    uint64_t index = (address - counter->base) >> 1;
    uint64_t stack = 0;
    counter->read_register(engine, counter->stack_register, &stack);
    if (stack < counter->lowest_stack)
        counter->lowest_stack = stack;
    if (address == counter->next)
        counter->fallthroughs[counter->last]++;
    if (address - counter->base >= counter->length) {
        counter->outside++;
        counter->next = 0;
        return;
    }
    counter->executions[index]++;
    counter->sizes[index] = size;
    counter->last = index;
    counter->next = address + size;
}
