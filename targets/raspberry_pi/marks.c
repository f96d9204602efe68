/* QEMU TCG plugin, API version 1 (QEMU 6.0 to 8.2; https://www.qemu.org/docs/master/devel/tcg-plugins.html).
 *
 * Counts the guest's instructions. When the guest makes system call 0xBEEF00 + n, which does not exist, a line "n count" is
 * appended to the file named by the argument out=. No header of QEMU is needed: what is used of the API is declared here.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MARK_BASE 0xBEEF00
#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_info;

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*callback)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int operation, void *counter, uint64_t immediate);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id id, void (*callback)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                                                                               uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));

EXPORT int qemu_plugin_version = 1;

enum { INLINE_ADD = 0 };

static uint64_t instructions;
static FILE *marks;

static void on_translation(plugin_id id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD, &instructions, qemu_plugin_tb_n_insns(block));
}

static void on_system_call(plugin_id id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                           uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)cpu, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number >= MARK_BASE && number < MARK_BASE + 256) {
        fprintf(marks, "%d %llu\n", (int)(number - MARK_BASE), (unsigned long long)instructions);
        fflush(marks);
    }
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            marks = fopen(argv[i] + 4, "w");
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
