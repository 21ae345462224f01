/* SPDX-License-Identifier: MIT */
/* A 32-bit program without a library: INT 0x80, the vDSO's way into the kernel (SYSENTER or
 * SYSCALL), a segment of its own for thread-local storage, arithmetic that exists only here, x87,
 * a signal with its return, a fault, and a far jump to 64-bit code and back. Prints a letter per
 * thing that works. */
        .intel_syntax noprefix
        .section .bss
        .balign 16
tls:    .skip 64
saved:  .skip 8
        .section .data
letter: .byte 0
        .balign 4
desc:   .long -1, tls, 0xfffff, 0x51 /* limit in pages, 32-bit, usable */
act:    .long handler, 0, 0, 0, 0    /* kernel_sigaction without a restorer: the vDSO's */
vsys:   .long 0
hits:   .long 0
        .text
        .globl _start
/* say AL */
say:    pusha
        mov [letter], al
        mov eax, 4
        mov ebx, 1
        mov ecx, offset letter
        mov edx, 1
        int 0x80
        popa
        ret

_start: mov al, 'a'
        call say
        /* the auxiliary vector: past argc, argv, NULL, envp, NULL */
        mov esi, esp
        lodsd
        lea esi, [esi + eax * 4 + 4]
1:      lodsd
        test eax, eax
        jnz 1b
2:      lodsd
        mov ebx, eax
        lodsd
        test ebx, ebx
        jz 3f
        cmp ebx, 32                     /* AT_SYSINFO */
        jne 2b
        mov [vsys], eax
3:      cmp dword ptr [vsys], 0
        je bad
        mov eax, 20                     /* getpid, both ways */
        int 0x80
        mov edi, eax
        mov ecx, 2000
4:      push ecx
        mov eax, 20
        call [vsys]
        pop ecx
        cmp eax, edi
        jne bad
        loop 4b
        mov al, 'b'
        call say

        mov eax, 243                    /* set_thread_area */
        mov ebx, offset desc
        int 0x80
        test eax, eax
        jnz bad
        mov eax, [desc]
        lea eax, [eax * 8 + 3]
        mov gs, ax
        mov dword ptr gs:[4], 0x12345678
        cmp dword ptr [tls + 4], 0x12345678
        jne bad
        mov ecx, 200                    /* it survives the scheduler */
5:      push ecx
        mov eax, 158                    /* sched_yield */
        int 0x80
        cmp dword ptr gs:[4], 0x12345678
        jne bad
        pop ecx
        loop 5b
        mov al, 'c'
        call say

        mov al, 0x15
        add al, 0x27
        daa
        cmp al, 0x42
        jne bad
        mov ax, 0x0005
        aam 3
        cmp ax, 0x0102
        jne bad
        aad 3
        cmp ax, 5
        jne bad
        push ds
        pop es
        mov eax, 0xffffffff
        inc eax                         /* the one-byte forms */
        dec eax
        jns bad
        pusha
        mov eax, esp
        popa
        cmp esp, 0
        je bad
        enter 16, 1
        leave
        mov al, 'd'
        call say

        fninit
        fldpi
        fld1
        faddp
        fistp dword ptr [saved]
        cmp dword ptr [saved], 4
        jne bad
        fldpi
        fbstp [tls + 16]
        cmp byte ptr [tls + 16], 3
        jne bad
        mov al, 'e'
        call say

        mov eax, 67                     /* sigaction(SIGUSR1) */
        mov ebx, 10
        mov ecx, offset act
        xor edx, edx
        int 0x80
        mov eax, 67                     /* and SIGSEGV */
        mov ebx, 11
        mov ecx, offset act
        xor edx, edx
        int 0x80
        mov esi, 50
        mov edx, 0x77
6:      mov eax, 37                     /* kill */
        mov ebx, edi
        mov ecx, 10
        push edx
        int 0x80
        pop edx
        dec esi
        jnz 6b
        cmp dword ptr [hits], 50
        jne bad
        cmp edx, 0x77
        jne bad
        mov al, 'f'
        call say
        mov ecx, 0x1234
        mov dword ptr ds:[0], 1         /* 10 bytes; the handler steps over it */
        cmp dword ptr [hits], 51
        jne bad
        cmp ecx, 0x1234
        jne bad
        mov al, 'g'
        call say

        call far ptr 0x33:long_code
        cmp eax, 0x9abcdef0
        jne bad
        cmp edx, 0x12345678
        jne bad
        mov al, 'h'
        call say
        mov al, 10
        call say
        xor ebx, ebx
exit:   mov eax, 1
        int 0x80
bad:    mov al, '!'
        call say
        mov ebx, 1
        jmp exit

handler:
        inc dword ptr [hits]
        mov eax, [esp + 4]
        cmp eax, 11
        jne 7f
        add dword ptr [esp + 8 + 14 * 4], 10 /* sigcontext's eip */
7:      ret

        .code64
long_code:
        movabs rax, 0x123456789abcdef0
        mov rdx, rax
        shr rdx, 32
        .byte 0xcb                      /* far return of the caller's size */
        .section .note.GNU-stack,"",@progbits
