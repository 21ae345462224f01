/* SPDX-License-Identifier: MIT */
/* Entry of the 32-bit guest test programs: Multiboot 1, flat protected mode without paging, a stub
 * per vector that ends in guest_exception(frame), and a way into real mode and back. */

        .section .multiboot, "a"
        .align 4
        .long 0x1badb002, 0, -0x1badb002

        .section .text, "ax"
        .code32
        .global _start
_start:
        cli
        mov $stack_top, %esp
        lgdt gdt_pointer
        ljmp $0x08, $1f
1:      mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        mov %eax, %fs
        mov %eax, %gs
        call guest_start

        .altmacro
        .macro stub n
        .align 16
        .if (\n == 8) || ((\n >= 10) && (\n <= 14)) || (\n == 17)
        .else
        push $0
        .endif
        push $\n
        jmp common
        .endm

        .align 16
        .global vector_stubs
vector_stubs:
        .set n, 0
        .rept 256
        stub %n
        .set n, n + 1
        .endr

common:
        pusha
        push %ds
        push %es
        push %fs
        push %gs
        mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        cld
        push %esp
        call guest_exception
        add $4, %esp
        pop %gs
        pop %fs
        pop %es
        pop %ds
        popa
        add $8, %esp
        iret

/* void real_mode(void): far call to 0:0x7000 in real mode with SS:SP 0:0x6ff0, which returns by a
 * far return; everything but the results in memory is lost. The IVT is at 0. */
        .global real_mode
real_mode:
        pusha
        mov %esp, saved_esp
        sidt saved_idt
        lidt ivt_pointer
        ljmp $0x18, $to_real - real_base + REAL
        .set REAL, 0x6000
        .global real_base, real_end
        .code16
real_base:
to_real:
        mov $0x20, %ax                  /* 64 KiB limits, as real mode wants them */
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %fs
        mov %ax, %gs
        mov %ax, %ss
        mov %cr0, %eax
        and $~1, %al
        mov %eax, %cr0
        ljmp $0, $1f - real_base + REAL
1:      xor %ax, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        mov $0x5ff0, %esp
        lcall $0, $0x7000
        cli
        xor %ax, %ax
        mov %ax, %ds
        lgdtl real_gdt - real_base + REAL
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        ljmpl $0x08, $from_real
real_gdt:
        .word gdt_end - gdt - 1
        .long gdt
real_end:
        .code32
from_real:
        mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        mov %eax, %fs
        mov %eax, %gs
        mov saved_esp, %esp
        lidt saved_idt
        popa
        ret

        .section .data
        .align 16
        .global gdt, gdt_pointer
gdt:
        .quad 0
        .quad 0x00cf9b000000ffff        /* 08: code, CPL 0 */
        .quad 0x00cf93000000ffff        /* 10: data, CPL 0 */
        .quad 0x00009b000000ffff        /* 18: 16-bit code, CPL 0 */
        .quad 0x000093000000ffff        /* 20: 16-bit data, CPL 0 */
        .quad 0x00cffb000000ffff        /* 28: code, CPL 3 */
        .quad 0x00cff3000000ffff        /* 30: data, CPL 3 */
        .fill 25, 8, 0                  /* 38 on: what tests put there */
gdt_end:
gdt_pointer:
        .word gdt_end - gdt - 1
        .long gdt
ivt_pointer:
        .word 0x3ff
        .long 0
saved_idt:
        .word 0
        .long 0
saved_esp:
        .long 0

        .section .bss
        .align 4096
        .skip 32768
stack_top:
        .section .note.GNU-stack, "", @progbits
