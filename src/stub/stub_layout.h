/* SPDX-License-Identifier: MIT */
/* Where things are in a stub, in words that C and assembly share. Its region has a slice for each
 * thread: the page of code (the same bytes in each, which find their slice by their own address), the
 * commands, which it can only read, and the signal stack, which user code can write too.
 *
 * The memory file behind it: code, the plan for the child (stub_child.h), then per thread the
 * commands and the stack. */
#ifndef VZ_STUB_STUB_LAYOUT_H
#define VZ_STUB_STUB_LAYOUT_H

#define STUB_PAGE          0x1000
#define STUB_SLICE         0x8000
#define STUB_CODE_SIZE     0x1000
#define STUB_COMMANDS_AT   0x1000 /* in the slice */
#define STUB_COMMANDS_SIZE 0x2000
#define STUB_STACK_AT      0x3000
#define STUB_STACK_SIZE    0x5000
#define STUB_RESUMED_AT    STUB_STACK_AT /* at its lower end, where no frame comes: the TSC when it last ran on */

#define STUB_FILE_CODE     0
#define STUB_FILE_PLAN     0x1000
#define STUB_FILE_PLAN_SIZE 0x1000
#define STUB_FILE_SLICES   0x2000
#define STUB_FILE_SLICE    (STUB_COMMANDS_SIZE + STUB_STACK_SIZE)

/* Of the page of commands (struct stub_page). */
#define STUB_PAGE_COUNT    0
#define STUB_PAGE_REPORT   4
#define STUB_PAGE_FS_BASE  8
#define STUB_PAGE_GS_BASE  16
#define STUB_PAGE_XSAVE    24
#define STUB_PAGE_RIP      32
#define STUB_PAGE_RFLAGS   40
#define STUB_PAGE_GPR      48 /* 16 */
#define STUB_PAGE_FEATURES 176 /* of the vector state: what XRSTOR is to load */
#define STUB_PAGE_FIRST    192
#define STUB_COMMAND_SIZE  32

/* Descriptors that a stub has. */
#define STUB_FD_RAM        1
#define STUB_FD_RAM_RO     2

/* The call that hands over, with what happened in its arguments. It is never made: the filter turns
 * it into a notification. One that can do no harm should that ever fail. */
#define STUB_HAND_OVER     39 /* getpid */
#define STUB_REPORTED      (-1) /* first argument: commands were carried out; else a signal's number */

#endif
