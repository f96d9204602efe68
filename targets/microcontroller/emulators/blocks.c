/* QEMU TCG plugin (https://www.qemu.org/docs/master/devel/tcg-plugins.html) for Thumb code: how often every block ran and went on in line.
 *
 * At the end, a line "address bytes executions fallthroughs" for each block that ran is written to the file named by the argument
 * out=. No header of QEMU is needed: what is used of the API, declared here, is the same in all its versions, of which
 * PLUGIN_VERSION names one that the QEMU at hand accepts (1 up to QEMU 8, 2 from QEMU 9 on).
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

typedef struct Block {
    uint64_t address, bytes, executions, fallthroughs;
    struct Block *earlier;
} Block;

static Block *translated; /* every block, the latest first */
static Block *last;       /* the one that ran last */
static FILE *report;

static void on_execution(unsigned cpu, void *data)
{
    Block *block = data;
    (void)cpu;
    if (last && block->address == last->address + last->bytes)
        last->fallthroughs++;
    block->executions++;
    last = block;
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
    Block *block = calloc(1, sizeof *block);
    (void)id;
    if (!block)
        abort();
    const struct qemu_plugin_insn *end = qemu_plugin_tb_get_insn(code, qemu_plugin_tb_n_insns(code) - 1);
    block->address = qemu_plugin_tb_vaddr(code);
    block->bytes = qemu_plugin_insn_vaddr(end) + length(end) - block->address;
    block->earlier = translated;
    translated = block;
    qemu_plugin_register_vcpu_tb_exec_cb(code, on_execution, NO_REGISTERS, block);
}

static void on_exit(plugin_id id, void *data)
{
    (void)id, (void)data;
    for (Block *block = translated; block; block = block->earlier)
        if (block->executions)
            fprintf(report, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", block->address, block->bytes, block->executions, block->fallthroughs);
    fclose(report);
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int count, char **arguments)
{
    (void)info;
    for (int i = 0; i < count; i++)
        if (!strncmp(arguments[i], "out=", 4))
            report = fopen(arguments[i] + 4, "w");
    if (!report)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_exit, NULL);
    return 0;
}
