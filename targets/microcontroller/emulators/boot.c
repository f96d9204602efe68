/* Starts a firmware on QEMU's Cortex-M55 and ends QEMU when it returns or faults: the job at the start of the board's DRAM says where
 * the firmware is, and is answered there. The firmware has a stack of its own, with the core's limit register at its end. */
#include <stdint.h>

typedef struct {
    uint32_t stack_top, stack_limit, entry;
    uint32_t finished, fault_status, fault_address; /* 0 before the run */
} Job;

#define JOB ((volatile Job *)0x60000000u)
#define BOOT_STACK_TOP 0x20080000u /* of the tightly coupled data memory */
#define COPROCESSOR_ACCESS ((volatile uint32_t *)0xE000ED88u)
#define FAULT_STATUS ((volatile uint32_t *)0xE000ED28u)
#define FPU_AND_MVE (0xFu << 20)
#define STACK_OVERFLOW (1u << 20)
#define FRAME_PC 6

/* Semihosting's SYS_EXIT with ADP_Stopped_ApplicationExit. */
__attribute__((noreturn)) static void leave(void)
{
    register uint32_t call __asm__("r0") = 0x18, reason __asm__("r1") = 0x20026;
    __asm__ volatile("bkpt 0xab" : : "r"(call), "r"(reason) : "memory");
    for (;;)
        ;
}

__attribute__((noreturn)) void start(void)
{
    *COPROCESSOR_ACCESS |= FPU_AND_MVE;
    __asm__ volatile("dsb\n\tisb\n\t"
                     "msr psplim, %0\n\tmsr psp, %1\n\t"
                     "movs r0, #2\n\tmsr control, r0\n\tisb"
                     : : "r"(JOB->stack_limit), "r"(JOB->stack_top) : "r0", "memory");
    ((void (*)(void))JOB->entry)();
    JOB->finished = 1;
    leave();
}

__attribute__((noreturn)) void fault(void)
{
    const uint32_t *frame;
    __asm__ volatile("mrs %0, psp" : "=r"(frame));
    JOB->fault_status = *FAULT_STATUS;
    if (!(JOB->fault_status & STACK_OVERFLOW)) /* else nothing was put on the stack */
        JOB->fault_address = frame[FRAME_PC];
    leave();
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[16] = {
    BOOT_STACK_TOP, (uintptr_t)start, (uintptr_t)fault, (uintptr_t)fault, (uintptr_t)fault, (uintptr_t)fault, (uintptr_t)fault, (uintptr_t)fault,
};
