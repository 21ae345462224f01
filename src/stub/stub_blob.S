/* SPDX-License-Identifier: MIT */
/* The page of code in each slice of a stub (stub_layout.h). Data for us: it is copied, and runs in
 * stubs only. User code can jump to any byte of it with any registers, so:
 * - Every system call in it is allowed at its own address only, with arguments that the filter
 *   checks (stub_filter.c). What matters comes from the kernel: the answer to the hand-over in RAX,
 *   and the page of commands, which is read-only here and found by RIP.
 * - The answer to a hand-over that has commands is the secret that mmap and munmap want. It stays in
 *   registers, no signal can come while the handler runs (all are blocked, so a fault kills), and it
 *   is wiped before anything else. Whoever jumps here with signals open, so that one writes the
 *   secret to a frame, is found out: stub_run.c says how.
 * - User code never comes to block signals, nor to have a signal stack elsewhere: so rt_sigreturn,
 *   which takes a frame that it could have made, is not called at all. We restore registers ourselves.
 * - No branch behind the hand-over is indirect, but the last, whose target user code cannot write. */
#include "stub/stub_layout.h"

#define COMMANDS(field) stub_blob + STUB_COMMANDS_AT + field(%rip)

    .section .rodata
    .balign 64
    .globl stub_blob
    .hidden stub_blob
    .type stub_blob, @object
stub_blob:

/* All signals come here, in the first slice: handlers are the process'. Go on in the slice whose
 * stack this is. */
    mov %rsp, %rax
    and $-STUB_SLICE, %rax
    add $(handler - stub_blob), %rax
    jmp *%rax

handler: /* edi: the signal; rsp: its frame */
    mov %rsp, %rsi
stub_blob_tsc_event:
    rdtsc                      /* when, for those who judge whether this pays */
    shl $32, %rdx
    or %rdx, %rax
    mov %rax, %r9
    rdfsbase %rdx
    rdgsbase %r10
    mov %ds, %r8d
    mov %es, %eax
    shl $16, %rax
    or %rax, %r8
    mov %fs, %eax
    shl $32, %rax
    or %rax, %r8
    mov %gs, %eax
    shl $48, %rax
    or %rax, %r8
    jz 1f
    xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
1:  mov $STUB_HAND_OVER, %eax
    syscall
stub_blob_event:

/* rax: 0, run on; positive, the secret: commands first; negative: nobody is there any more. */
answered:
    test %rax, %rax
    jz resume
    js gone
    mov %rax, %r13
    shl $32, %r13              /* lower half, for flags */
    shr $32, %rax
    mov %rax, %r14
    shl $32, %r14              /* upper half, for the descriptor */
    xor %eax, %eax
    lea COMMANDS(STUB_PAGE_FIRST), %rbx
    mov COMMANDS(STUB_PAGE_COUNT), %ebp
    jmp 2f
1:  mov (%rbx), %rdi           /* address */
    mov 8(%rbx), %rsi          /* length */
    mov 16(%rbx), %r9          /* offset */
    mov 24(%rbx), %edx         /* rights, and the descriptor from bit 8 on */
    mov %edx, %r8d
    and $7, %edx
    shr $8, %r8d
    or %r14, %r8
    mov 28(%rbx), %r10d        /* flags; 0: unmap */
    test %r10d, %r10d
    jz unmap
    or %r13, %r10
    mov $9, %eax               /* mmap */
    syscall
stub_blob_mmap:
    jmp check
unmap:
    or %r13, %r10
    mov $11, %eax              /* munmap */
    syscall
stub_blob_munmap:
check:
    cmp $-4096, %rax
    ja 3f
    add $STUB_COMMAND_SIZE, %rbx
    dec %ebp
2:  test %ebp, %ebp
    jnz 1b
    xor %eax, %eax
3:  mov %rax, %rdx             /* 0 or -errno */
    xor %r8d, %r8d
    xor %r10d, %r10d
    xor %r13d, %r13d
    xor %r14d, %r14d
    test %rdx, %rdx
    jnz report
    cmpl $0, COMMANDS(STUB_PAGE_REPORT)
    je resume
report:
    mov $STUB_REPORTED, %rdi
    mov %ebp, %esi             /* how many are left */
    xor %r9d, %r9d
    mov $STUB_HAND_OVER, %eax
    syscall
stub_blob_report:
    jmp answered

resume:
stub_blob_tsc_resume:
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    mov %rax, stub_blob + STUB_RESUMED_AT(%rip)
    mov COMMANDS(STUB_PAGE_FS_BASE), %rax
    wrfsbase %rax
    mov COMMANDS(STUB_PAGE_GS_BASE), %rax
    wrgsbase %rax
    mov COMMANDS(STUB_PAGE_XSAVE), %rcx
    mov COMMANDS(STUB_PAGE_FEATURES), %eax
    mov COMMANDS(STUB_PAGE_FEATURES + 4), %edx
    xrstor64 (%rcx)
    /* Away from the signal stack: what has waited comes with the call. */
    lea COMMANDS(STUB_PAGE_RFLAGS), %rsp
    mov $2, %edi               /* SIG_SETMASK */
    lea no_signals(%rip), %rsi
    xor %edx, %edx
    mov $8, %r10d
    mov $14, %eax              /* rt_sigprocmask */
    syscall
stub_blob_open:
    popf
    mov COMMANDS(STUB_PAGE_GPR), %rax
    mov COMMANDS(STUB_PAGE_GPR + 8), %rcx
    mov COMMANDS(STUB_PAGE_GPR + 16), %rdx
    mov COMMANDS(STUB_PAGE_GPR + 24), %rbx
    mov COMMANDS(STUB_PAGE_GPR + 32), %rsp
    mov COMMANDS(STUB_PAGE_GPR + 40), %rbp
    mov COMMANDS(STUB_PAGE_GPR + 48), %rsi
    mov COMMANDS(STUB_PAGE_GPR + 56), %rdi
    mov COMMANDS(STUB_PAGE_GPR + 64), %r8
    mov COMMANDS(STUB_PAGE_GPR + 72), %r9
    mov COMMANDS(STUB_PAGE_GPR + 80), %r10
    mov COMMANDS(STUB_PAGE_GPR + 88), %r11
    mov COMMANDS(STUB_PAGE_GPR + 96), %r12
    mov COMMANDS(STUB_PAGE_GPR + 104), %r13
    mov COMMANDS(STUB_PAGE_GPR + 112), %r14
    mov COMMANDS(STUB_PAGE_GPR + 120), %r15
stub_blob_left:
    jmp *COMMANDS(STUB_PAGE_RIP)
gone:
    ud2
    .balign 8
no_signals:
    .quad 0

/* How a thread begins, before it has a filter. r12: bytes below the region; r13, r14: address and
 * length of what is above; all that the child was made of is there. Then as the other threads. */
stub_blob_first:
    xor %edi, %edi
    mov %r12, %rsi
    mov $11, %eax
    syscall
    test %rax, %rax
    jnz fail
    mov %r13, %rdi
    mov %r14, %rsi
    mov $11, %eax
    syscall
    test %rax, %rax
    jnz fail
/* r15: the filter (struct sock_fprog); rbx: a word that counts who is here. From the filter on this
 * thread is a stub's, and its first event says so. */
stub_blob_begin:
    lock incl (%rbx)
    mov $317, %eax             /* seccomp */
    mov $1, %edi               /* SECCOMP_SET_MODE_FILTER */
    mov $4, %esi               /* SECCOMP_FILTER_FLAG_SPEC_ALLOW */
    mov %r15, %rdx
    syscall
    test %rax, %rax
    jnz fail
    xor %ebx, %ebx
    ud2
fail:
    mov $231, %eax             /* exit_group */
    mov $1, %edi
    syscall
    ud2
stub_blob_last:
    .org stub_blob + STUB_CODE_SIZE, 0xcc
    .size stub_blob, . - stub_blob

/* Where in it, for whom. */
    .balign 4
    .globl stub_blob_at
    .hidden stub_blob_at
    .type stub_blob_at, @object
stub_blob_at:
    .long stub_blob_event - stub_blob
    .long stub_blob_report - stub_blob
    .long stub_blob_mmap - stub_blob
    .long stub_blob_munmap - stub_blob
    .long stub_blob_open - stub_blob
    .long stub_blob_left - stub_blob
    .long no_signals - stub_blob
    .long stub_blob_first - stub_blob
    .long stub_blob_begin - stub_blob
    .long stub_blob_last - stub_blob
    .long stub_blob_tsc_event - stub_blob
    .long stub_blob_tsc_resume - stub_blob
    .size stub_blob_at, . - stub_blob_at

    .section .note.GNU-stack, "", @progbits
