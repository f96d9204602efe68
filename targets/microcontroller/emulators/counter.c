/* Hooks that the emulator calls natively: how often every block ran and went on in line, how deep the stack grew, and which reads
   of the flash its cache doesn't hold (fully associative, the least recently used goes). Functions may be owners, numbered from 1 on:
   each has counts of its own, for what ran from when the core was last in it until it came into another one. */
#include <stdint.h>

typedef struct {
    uint32_t *lines;  /* what is held, the most recently used first */
    uint32_t count;
    uint32_t bytes;   /* of one line */
} Cache;

typedef struct {
    uint64_t base;          /* first address of code */
    uint64_t length;        /* bytes of code */
    uint16_t *owners;       /* whose the code at base + 2 i is; 0 for what runs on behalf of the last one */
    uint64_t owner;         /* the last one */
    uint64_t *executions;   /* of the block that starts at base + 2 i, after length / 2 entries for each owner before */
    uint64_t *fallthroughs; /* times that its last branch was not taken */
    uint64_t *misses;       /* flash reads that had to wait while it ran */
    uint32_t *sizes;        /* its length in bytes */
    uint64_t next;          /* address behind the block that ran last */
    uint64_t last;          /* index of the block that ran last */
    uint64_t lowest_stack;
    int (*read_register)(void *engine, int register_id, void *value);
    int32_t stack_register;
    Cache instructions;
    Cache constants;
} Counter;

static uint64_t missed(Cache *cache, uint32_t line)
{
    uint32_t place = 0;
    while (place + 1 < cache->count && cache->lines[place] != line)
        place++;
    uint64_t miss = cache->lines[place] != line;
    for (; place > 0; place--)
        cache->lines[place] = cache->lines[place - 1];
    cache->lines[0] = line;
    return miss;
}

void count_block(void *engine, uint64_t address, uint32_t size, void *data)
{
    Counter *counter = data;
    uint64_t place = (address - counter->base) >> 1;
    uint64_t stack = 0;
    if (address - counter->base >= counter->length)
        return;
    if (counter->owners[place])
        counter->owner = counter->owners[place];
    uint64_t index = counter->owner * (counter->length >> 1) + place;
    counter->read_register(engine, counter->stack_register, &stack);
    if (stack < counter->lowest_stack)
        counter->lowest_stack = stack;
    if (address == counter->next)
        counter->fallthroughs[counter->last]++;
    counter->executions[index]++;
    counter->sizes[place] = size;
    counter->last = index;
    counter->next = address + size;
    if (counter->instructions.count)
        for (uint64_t line = address / counter->instructions.bytes; line * counter->instructions.bytes < address + size; line++)
            counter->misses[index] += missed(&counter->instructions, (uint32_t)line);
}

void count_constant(void *engine, int type, uint64_t address, int size, int64_t value, void *data)
{
    Counter *counter = data;
    (void)engine, (void)type, (void)size, (void)value;
    counter->misses[counter->last] += missed(&counter->constants, (uint32_t)(address / counter->constants.bytes));
}
