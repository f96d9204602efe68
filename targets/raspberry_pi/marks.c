/* QEMU TCG plugin, API version 1 (QEMU 6.0 to 8.2; https://www.qemu.org/docs/master/devel/tcg-plugins.html).
 *
 * Counts the guest's instructions. When the guest makes system call 0xBEEF00 + n, which does not exist, a line "n count" is
 * appended to the file named by the argument out=. No header of QEMU is needed: what is used of the API is declared here.
 *
 * Marks 3 and 4 enclose an inference of a network with as many nodes as the argument nodes= says, all of different kinds: the
 * indirect call that is made so often there, and within which most instructions are spent, is where the runtime runs a node.
 * From then on "call count" and "back count" tell when that call is made and when it is back, between marks 1 and 2.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK_BASE 0xBEEF00
#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t number);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*callback)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*callback)(unsigned, void *), int registers, void *own);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int operation, void *counter, uint64_t immediate);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id id, void (*callback)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                                                                               uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));

EXPORT int qemu_plugin_version = 1;

enum { INLINE_ADD = 0, NO_REGISTERS = 0 };
enum { BEGIN = 1, LEARN = 3, LEARNT = 4 };
enum { INSTRUCTION_BYTES = 4, SITES = 1 << 16 };

/* An indirect call, known by where it comes back to. What it was seen to do while learning stays in it. */
struct site {
    uint64_t address, calls, begun, spent;
    int open, nested;
};

/* A block that a call comes back to, or that ends in one, or both. */
struct block {
    struct site *back, *call;
    size_t instructions;
};

static uint64_t instructions;
static FILE *marks;
static long nodes;
static int64_t last_mark;
static struct site sites[SITES];
static struct site *operators;

/* The place of an address in the table; its address is 0 while nobody took it. NULL where the table is full. */
static struct site *place(uint64_t address)
{
    for (size_t step = 0; step < SITES; step++) {
        struct site *found = &sites[(address / INSTRUCTION_BYTES + step) % SITES];
        if (found->address == address || found->address == 0) {
            return found;
        }
    }
    return NULL;
}

static struct site *known(uint64_t address)
{
    struct site *found = place(address);
    return found != NULL && found->address != 0 ? found : NULL;
}

static struct site *remembered(uint64_t address)
{
    struct site *found = place(address);
    if (found != NULL) {
        found->address = address;
    }
    return found;
}

static void on_call(struct site *site)
{
    if (last_mark == LEARN) {
        site->calls++;
        site->nested |= site->open;
        site->open = 1;
        site->begun = instructions;
    } else if (last_mark == BEGIN && site == operators) {
        fprintf(marks, "call %llu\n", (unsigned long long)instructions);
    }
}

static void on_return(struct site *site)
{
    if (last_mark == LEARN) {
        site->spent += site->open ? instructions - site->begun : 0;
        site->open = 0;
    } else if (last_mark == BEGIN && site == operators) {
        fprintf(marks, "back %llu\n", (unsigned long long)instructions);
    }
}

/* Counts here rather than inline, so that a call's own block is before it and the block that it comes back to is after it. */
static void on_block(unsigned cpu, void *own)
{
    const struct block *block = own;
    (void)cpu;
    if (block->back != NULL) {
        on_return(block->back);
    }
    instructions += block->instructions;
    if (block->call != NULL) {
        on_call(block->call);
    }
}

static int calls_indirectly(const struct qemu_plugin_insn *instruction)
{
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(instruction), sizeof word);
    return (word & 0xFFFFFC1F) == 0xD63F0000; /* BLR */
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *translated)
{
    size_t count = qemu_plugin_tb_n_insns(translated);
    uint64_t start = qemu_plugin_tb_vaddr(translated);
    struct block block = {NULL, NULL, count};
    (void)id;
    if (nodes > 0) {
        block.back = known(start);
        if (calls_indirectly(qemu_plugin_tb_get_insn(translated, count - 1))) {
            block.call = remembered(start + count * INSTRUCTION_BYTES);
        }
    }
    struct block *kept = block.back != NULL || block.call != NULL ? malloc(sizeof block) : NULL;
    if (kept == NULL) {
        qemu_plugin_register_vcpu_tb_exec_inline(translated, INLINE_ADD, &instructions, count);
        return;
    }
    *kept = block;
    qemu_plugin_register_vcpu_tb_exec_cb(translated, on_block, NO_REGISTERS, kept);
}

static void choose(void)
{
    for (struct site *site = sites; site < sites + SITES; site++) {
        int once_a_node = site->calls == (uint64_t)nodes && !site->nested && !site->open;
        if (once_a_node && (operators == NULL || site->spent > operators->spent)) {
            operators = site;
        }
    }
}

static void on_system_call(plugin_id id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                           uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)cpu, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number < MARK_BASE || number >= MARK_BASE + 256) {
        return;
    }
    last_mark = number - MARK_BASE;
    if (last_mark == LEARNT) {
        choose();
    }
    fprintf(marks, "%d %llu\n", (int)last_mark, (unsigned long long)instructions);
    fflush(marks);
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            marks = fopen(argv[i] + 4, "w");
        } else if (strncmp(argv[i], "nodes=", 6) == 0) {
            nodes = strtol(argv[i] + 6, NULL, 10);
        }
    }
    if (marks == NULL) {
        fputs("marks: the argument out=FILE is missing or can't be written\n", stderr);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    return 0;
}
