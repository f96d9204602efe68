/* QEMU TCG plugin (https://www.qemu.org/docs/master/devel/tcg-plugins.html) for Thumb code: how often every block ran and went on in line.
 *
 * The file named by the argument owners= has a line "address bytes" for each function that is an owner, numbered from 1 on: each has
 * counts of its own, for what ran from when the core was last in it until it came into another one. At the end, a line
 * "owner address bytes executions fallthroughs" for each block that ran is written to the file named by the argument out=. No header
 * of QEMU is needed: what is used of the API, declared here, is the same in all its versions, of which PLUGIN_VERSION names one that
 * the QEMU at hand accepts (1 up to QEMU 8, 2 from QEMU 9 on).
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
enum { NO_REGISTERS = 0 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*callback)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*callback)(unsigned, void *), int registers, void *data);
extern void qemu_plugin_register_atexit_cb(plugin_id id, void (*callback)(plugin_id, void *), void *data);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);
extern void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *instruction);

EXPORT int qemu_plugin_version = PLUGIN_VERSION;

typedef struct {
    uint64_t executions, fallthroughs;
} Count;

typedef struct Block {
    uint64_t address, bytes;
    size_t owner; /* 0 for what runs on behalf of the last one */
    struct Block *earlier;
    Count counts[]; /* of each owner */
} Block;

static struct {
    uint64_t address, bytes;
} functions[1 << 16];
static size_t owners = 1;
static size_t owner;      /* the last one */
static Block *translated; /* every block, the latest first */
static uint64_t next;     /* address behind the block that ran last */
static Count *last;       /* its counts */
static FILE *report;

static void on_execution(unsigned cpu, void *data)
{
    Block *block = data;
    (void)cpu;
    if (last && block->address == next)
        last->fallthroughs++;
    if (block->owner)
        owner = block->owner;
    last = &block->counts[owner];
    last->executions++;
    next = block->address + block->bytes;
}

/* By its encoding: QEMU's own answer (7.2) is too large where it had to look behind the instruction for the end of a page. */
static uint64_t length(const struct qemu_plugin_insn *instruction)
{
    const uint16_t *code = qemu_plugin_insn_haddr(instruction);
    if (!code) /* nothing could be fetched: a fault follows */
        return 0;
    return *code < 0xE800 ? 2 : 4;
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *code)
{
    Block *block = calloc(1, sizeof *block + owners * sizeof *block->counts);
    (void)id;
    if (!block)
        abort();
    const struct qemu_plugin_insn *end = qemu_plugin_tb_get_insn(code, qemu_plugin_tb_n_insns(code) - 1);
    block->address = qemu_plugin_tb_vaddr(code);
    block->bytes = qemu_plugin_insn_vaddr(end) + length(end) - block->address;
    for (size_t i = 1; i < owners; i++)
        if (block->address - functions[i].address < functions[i].bytes)
            block->owner = i;
    block->earlier = translated;
    translated = block;
    qemu_plugin_register_vcpu_tb_exec_cb(code, on_execution, NO_REGISTERS, block);
}

static void on_exit(plugin_id id, void *data)
{
    (void)id, (void)data;
    for (Block *block = translated; block; block = block->earlier)
        for (size_t i = 0; i < owners; i++)
            if (block->counts[i].executions)
                fprintf(report, "%zu %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", i, block->address, block->bytes,
                        block->counts[i].executions, block->counts[i].fallthroughs);
    fclose(report);
}

static int read_owners(const char *path)
{
    FILE *list = fopen(path, "r");
    if (!list)
        return 0;
    while (owners < sizeof functions / sizeof functions[0]
           && fscanf(list, "%" SCNu64 " %" SCNu64, &functions[owners].address, &functions[owners].bytes) == 2)
        owners++;
    fclose(list);
    return 1;
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int count, char **arguments)
{
    (void)info;
    for (int i = 0; i < count; i++)
        if (!strncmp(arguments[i], "out=", 4))
            report = fopen(arguments[i] + 4, "w");
        else if (!strncmp(arguments[i], "owners=", 7) && !read_owners(arguments[i] + 7))
            return 1;
    if (!report)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_exit, NULL);
    return 0;
}
