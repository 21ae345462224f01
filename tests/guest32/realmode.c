/* SPDX-License-Identifier: MIT */
/* Real mode: 16-bit code with operands and addresses of both sizes, interrupts by the IVT, what
 * faults and what wraps; limits that were loaded in protected mode stay (unreal mode).
 * SDM vol. 3, 20.1. */
#include "guest32.h"

#define RESULT ((volatile uint32_t *)0x5000)

/* CODE(name, instructions) is 16-bit code for run_real(); DS, ES and SS are 0. */
#define CODE(name, text)                                                                           \
    extern char name[], name##_end[];                                                              \
    __asm__(".pushsection .data\n .code16\n" #name ":\n" text "\n lret\n" #name "_end:\n"          \
            ".code32\n .popsection\n")
#define RUN(name)                                                                                  \
    do {                                                                                           \
        for (unsigned i_ = 0; i_ < 64; i_++)                                                       \
            RESULT[i_] = 0;                                                                        \
        run_real(name, name##_end);                                                                \
    } while (0)

CODE(sizes, "mov $0x12345678, %eax\n mov %eax, 0x5000\n mov $0xabcd, %ax\n mov %eax, 0x5004\n"
            "mov $0x5008, %ebx\n movl $0x11223344, (%ebx)\n mov $0x5008, %bx\n mov $4, %si\n"
            "movw $0x5566, (%bx,%si)\n mov %sp, %bp\n mov %bp, 0x5010\n"
            "pushl $0x01020304\n pop %ax\n mov %ax, 0x5014\n pop %ax\n mov %ax, 0x5016\n"
            "mov %sp, 0x5018");

CODE(software_interrupt,
     "movw $handler - software_interrupt + 0x7000, 0x40 * 4\n movw $0, 0x40 * 4 + 2\n"
     "stc\n int $0x40\n setc 0x5008\n jmp 1f\n"
     "handler: push %bp\n mov %sp, %bp\n mov 2(%bp), %ax\n mov %ax, 0x5000\n mov 4(%bp), %ax\n"
     "mov %ax, 0x5002\n mov 6(%bp), %ax\n mov %ax, 0x5004\n pop %bp\n clc\n iret\n 1:");

CODE(limits,
     "movw $caught - limits + 0x7000, 13 * 4\n movw $0, 13 * 4 + 2\n"
     "movw $caught - limits + 0x7000, 12 * 4\n movw $0, 12 * 4 + 2\n"
     "mov %sp, %di\n mov $0x10000, %ebx\n mov (%ebx), %al\n movl $1, 0x5000\n jmp 1f\n"
     "caught: mov %di, %sp\n movl $13, 0x5000\n 1:");

CODE(word_at_the_end,
     "movw $caught2 - word_at_the_end + 0x7000, 13 * 4\n movw $0, 13 * 4 + 2\n"
     "mov %sp, %di\n mov $0xffff, %bx\n mov (%bx), %ax\n movl $1, 0x5000\n jmp 1f\n"
     "caught2: mov %di, %sp\n movl $13, 0x5000\n 1:");

CODE(segments,
     "mov $0x500, %ax\n mov %ax, %ds\n movw $0x1234, 0\n mov %ax, %es\n movw $0x5678, %es:2\n"
     "xor %ax, %ax\n mov %ax, %ds\n lds 0x5010 - 0x5010 + 0x7000 + far_pointer - segments, %si\n"
     "mov %si, %ax\n xor %bx, %bx\n mov %bx, %es\n mov %ax, %es:0x5004\n mov %ds, %es:0x5006\n"
     "mov %bx, %ds\n jmp 1f\n far_pointer: .word 0x1111, 0x2222\n 1:");

CODE(strings,
     "mov $0x5020, %di\n mov $0x41, %al\n mov $4, %cx\n cld\n rep stosb\n"
     "mov $0x5020, %si\n mov $0x5030, %di\n mov $4, %cx\n rep movsb\n mov %di, 0x5000\n"
     "mov $0x5033, %di\n mov $10, %cx\n std\n mov $0x41, %al\n repe scasb\n cld\n mov %cx, 0x5002\n"
     "mov $0xfffe, %si\n lodsw\n mov %si, 0x5004");

CODE(decimal, "mov $0x19, %al\n add $0x28, %al\n daa\n mov %al, 0x5000\n mov $0x47, %al\n sub $0x28, %al\n"
              "das\n mov %al, 0x5001\n mov $35, %al\n aam\n mov %ax, 0x5002\n aad\n mov %ax, 0x5004\n"
              "mov $0x000f, %ax\n add $0, %al\n aaa\n mov %ax, 0x5006");

CODE(divide_error,
     "movw $caught3 - divide_error + 0x7000, 0\n movw $0, 2\n mov %sp, %di\n xor %cx, %cx\n"
     "mov $1, %ax\n xor %dx, %dx\n bad: div %cx\n caught3: pop %ax\n mov %ax, 0x5000\n mov %di, %sp\n"
     "movw $bad - divide_error + 0x7000, 0x5004");

CODE(calls,
     "mov %sp, 0x5000\n lcall $0x700, $inner - calls\n mov %sp, 0x5002\n jmp 1f\n"
     "inner: mov %cs, 0x5004\n enter $8, $0\n mov %bp, 0x5008\n leave\n lret\n 1:\n"
     "pusha\n popa\n mov %sp, 0x500a\n call 2f\n 2: pop %ax\n sub $2b - calls + 0x7000, %ax\n mov %ax, 0x500c");

/* Loads DS in protected mode with a limit of 4 GiB and goes back: it stays. */
CODE(unreal,
     "cli\n mov %cr0, %eax\n or $1, %al\n mov %eax, %cr0\n jmp 1f\n 1: mov $0x10, %bx\n mov %bx, %ds\n"
     "and $~1, %al\n mov %eax, %cr0\n jmp 2f\n 2: xor %bx, %bx\n mov %bx, %ds\n"
     "mov $0x200000, %ebx\n movl $0x0badcafe, (%ebx)\n mov (%ebx), %eax\n mov %eax, 0x5000");

CODE(flags,
     "pushf\n pop %ax\n mov %ax, 0x5000\n push $0x7002\n popf\n pushf\n pop %ax\n mov %ax, 0x5002\n"
     "pushfl\n pop %eax\n mov %eax, 0x5004\n push $2\n popf\n smsw %ax\n mov %ax, 0x5008");

int guest_main(void)
{
    RUN(sizes);
    CHECK_EQ("a 32-bit operand", RESULT[0], 0x12345678);
    CHECK_EQ("a 16-bit operand", RESULT[1], 0x1234abcd);
    CHECK_EQ("a 32-bit address", RESULT[2], 0x11223344);
    CHECK_EQ("a 16-bit address", RESULT[3], 0x5566);
    CHECK_EQ("a 32-bit push is two words, low", RESULT[5] & 0xffff, 0x0304);
    CHECK_EQ("  high", RESULT[5] >> 16, 0x0102);
    CHECK_EQ("  SP", RESULT[6] & 0xffff, RESULT[4] & 0xffff);
    RUN(software_interrupt);
    CHECK("INT n: the saved IP", (RESULT[0] & 0xffff) > 0x7000);
    CHECK_EQ("  the saved CS", RESULT[0] >> 16, 0);
    CHECK_EQ("  the saved flags", RESULT[1] & 1, 1);
    CHECK_EQ("  IRET restores them", RESULT[2] & 0xff, 1);
    RUN(limits);
    CHECK_EQ("beyond 64 KiB: interrupt 13", RESULT[0], 13);
    RUN(word_at_the_end);
    CHECK_EQ("a word across the end: interrupt 13", RESULT[0], 13);
    RUN(segments);
    CHECK_EQ("segments times 16", RESULT[0], 0x56781234);
    CHECK_EQ("LDS", RESULT[1], 0x22221111);
    RUN(strings);
    CHECK_EQ("REP MOVSB", RESULT[12], 0x41414141);
    CHECK_EQ("  DI", RESULT[0] & 0xffff, 0x5034);
    CHECK_EQ("REPE SCASB downwards", RESULT[0] >> 16, 5);
    CHECK_EQ("SI wraps", RESULT[1] & 0xffff, 0);
    RUN(decimal);
    CHECK_EQ("DAA", RESULT[0] & 0xff, 0x47);
    CHECK_EQ("DAS", RESULT[0] >> 8 & 0xff, 0x19);
    CHECK_EQ("AAM", RESULT[0] >> 16, 0x0305);
    CHECK_EQ("AAD", RESULT[1] & 0xffff, 35);
    CHECK_EQ("AAA", RESULT[1] >> 16, 0x0105);
    RUN(divide_error);
    CHECK_EQ("#DE saves the instruction's own address", RESULT[0], RESULT[1]);
    RUN(calls);
    CHECK_EQ("far call and return", RESULT[0] & 0xffff, RESULT[0] >> 16);
    CHECK_EQ("  CS", RESULT[1] & 0xffff, 0x700);
    CHECK_EQ("ENTER", RESULT[2] & 0xffff, (RESULT[0] & 0xffff) - 6);
    CHECK_EQ("PUSHA, POPA", RESULT[2] >> 16, RESULT[0] & 0xffff);
    CHECK_EQ("CALL, POP", RESULT[3], 0);
    RUN(unreal);
    CHECK_EQ("unreal mode", RESULT[0], 0x0badcafe);
    RUN(flags);
    CHECK_EQ("bit 1 of the flags is set", RESULT[0] & 2, 2);
    CHECK_EQ("IOPL and NT can be set", RESULT[0] >> 16, 0x7002);
    CHECK_EQ("  PUSHFD", RESULT[1], 0x7002);
    CHECK_EQ("SMSW: PE is clear", RESULT[2] & 1, 0);
    return 1;
}
