/* SPDX-License-Identifier: MIT */
/* Entry of the guest test programs: Multiboot 1 in 32-bit protected mode, then long mode with the
 * first 4 GiB mapped one to one by 2 MiB pages, a GDT, a stack per CPU, and on to guest_main().
 * The trampoline for other CPUs is copied to TRAMPOLINE and ends in guest_ap_main(). */

#define TRAMPOLINE 0x8000
#define STACK_SIZE 16384

        .section .multiboot, "a"
        .align 4
        .long 0x1badb002, 0, -0x1badb002

        .section .text, "ax"
        .code32
        .global _start
_start:
        cli
        mov $boot_stack_top, %esp
        call long_mode
        ljmp $0x08, $start64

/* Turn on paging and long mode (compatibility mode still): clobbers eax, ecx, edx; not ebx. */
long_mode:
        lgdt gdt_pointer
        mov $pml4, %eax
        mov %eax, %cr3
        mov %cr4, %eax
        or $0x620, %eax                 /* PAE, OSFXSR, OSXMMEXCPT */
        mov %eax, %cr4
        mov $0xc0000080, %ecx
        rdmsr
        or $0x901, %eax                 /* SCE, LME, NXE */
        wrmsr
        mov %cr0, %eax
        and $~0x4, %eax                 /* EM */
        or $0x80010022, %eax            /* PG, WP, NE, MP */
        mov %eax, %cr0
        ret

        .code64
start64:
        mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        xor %eax, %eax
        mov %eax, %fs
        mov %eax, %gs
        mov %ebx, %edi                  /* Multiboot information */
        call guest_start

/* ---- other CPUs ---- */
        .code16
        .global trampoline, trampoline_end
trampoline:
        cli
        xor %ax, %ax
        mov %ax, %ds
        lgdtl TRAMPOLINE + (ap_gdt_pointer - trampoline)
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        ljmpl $0x18, $ap32
ap_gdt_pointer:
        .word gdt_end - gdt - 1
        .long gdt
trampoline_end:

        .code32
ap32:
        mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %ss
        mov $1, %eax
        lock xadd %eax, ap_count
        lea 1(%eax), %eax
        imul $STACK_SIZE, %eax
        lea ap_stacks(%eax), %esp
        call long_mode
        ljmp $0x08, $ap64
        .code64
ap64:
        call guest_ap_main
1:      cli
        hlt
        jmp 1b

/* ---- exceptions: one stub per vector, then guest_exception(frame) ---- */
        .altmacro
        .macro stub n
        .align 16
        .if (\n == 8) || ((\n >= 10) && (\n <= 14)) || (\n == 17) || (\n == 21)
        .else
        push $0
        .endif
        push $\n
        jmp exception_common
        .endm

        .align 16
        .global vector_stubs
vector_stubs:
        .set n, 0
        .rept 256
        stub %n
        .set n, n + 1
        .endr

        .global exception_common
exception_common:
        push %rax
        push %rcx
        push %rdx
        push %rbx
        push %rbp
        push %rsi
        push %rdi
        push %r8
        push %r9
        push %r10
        push %r11
        push %r12
        push %r13
        push %r14
        push %r15
        mov %rsp, %rdi
        mov %rsp, %rbx
        and $~15, %rsp
        cld
        call guest_exception
        mov %rbx, %rsp
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %r11
        pop %r10
        pop %r9
        pop %r8
        pop %rdi
        pop %rsi
        pop %rbp
        pop %rbx
        pop %rdx
        pop %rcx
        pop %rax
        add $16, %rsp
        iretq

        .section .data
        .align 16
        .global gdt
gdt:
        .quad 0
        .quad 0x00af9b000000ffff        /* 08: 64-bit code, CPL 0 */
        .quad 0x00cf93000000ffff        /* 10: data, CPL 0 */
        .quad 0x00cf9b000000ffff        /* 18: 32-bit code, CPL 0 */
        .quad 0x00cffb000000ffff        /* 20: 32-bit code, CPL 3 */
        .quad 0x00cff3000000ffff        /* 28: data, CPL 3 */
        .quad 0x00affb000000ffff        /* 30: 64-bit code, CPL 3 */
        .quad 0x008f9b000000ffff        /* 38: 16-bit code, CPL 0 */
        .quad 0x008f93000000ffff        /* 40: 16-bit data, CPL 0 */
        .fill 16, 8, 0                  /* 48 on: TSS and what tests put there */
gdt_end:
        .global gdt_end
gdt_pointer:
        .word gdt_end - gdt - 1
        .quad gdt
        .global ap_count
        .align 4
ap_count:
        .long 0

        .align 4096
        .global pml4
pml4:
        .quad pdpt + 7
        .fill 511, 8, 0
pdpt:
        .quad pd + 7, pd + 0x1007, pd + 0x2007, pd + 0x3007
        .fill 508, 8, 0
pd:
        .set page, 0
        .rept 2048
        .quad page * 0x200000 + 0x87
        .set page, page + 1
        .endr

        .section .bss
        .align 16
        .skip STACK_SIZE
boot_stack_top:
ap_stacks:
        .skip STACK_SIZE * 8

        .section .note.GNU-stack, "", @progbits
