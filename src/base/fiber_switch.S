/* SPDX-License-Identifier: MIT */
/* void fiber_switch(void **save_sp, void *sp): keep what the System V ABI 3.2.1 has a call preserve
 * on this stack, its pointer in *save_sp, and go on with what is kept at sp.
 *
 * This file is in assembly, without the note that says "works with shadow stacks": it does not, and
 * so the dynamic linker leaves them off in programs that use the library. */
    .text
    .globl fiber_switch
    .hidden fiber_switch
    .type fiber_switch, @function
fiber_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    sub $8, %rsp
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    ldmxcsr (%rsp)
    fldcw 4(%rsp)
    add $8, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size fiber_switch, . - fiber_switch

/* Where a new fiber begins: fn in rbx, its argument in r12; the stack is aligned. */
    .globl fiber_begin
    .hidden fiber_begin
    .type fiber_begin, @function
fiber_begin:
    mov %r12, %rdi
    call *%rbx
    ud2
    .size fiber_begin, . - fiber_begin

    .section .note.GNU-stack, "", @progbits
