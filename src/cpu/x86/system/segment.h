/* SPDX-License-Identifier: MIT */
/* Descriptors and segment registers, and the stacks that far transfers push on and pop from.
 * SDM vol. 3, chapters 3 and 5.
 *
 * Functions that can fail return false with the exception recorded (cpu_raise()); they leave c->rip
 * alone. Error codes carry no EXT bit: event.c adds it. */
#ifndef VZ_CPU_X86_SEGMENT_H
#define VZ_CPU_X86_SEGMENT_H

#include "cpu/x86/cpu.h"
#include "cpu/x86/decode/decode.h"
#include "cpu/x86/mmu.h"

/* Types of system descriptors, SDM vol. 3, table 3-2. */
enum {
    SYS_TSS16_AVAIL = 1, SYS_LDT = 2, SYS_TSS16_BUSY = 3, SYS_CALL16 = 4, SYS_TASK_GATE = 5,
    SYS_INT16 = 6, SYS_TRAP16 = 7, SYS_TSS_AVAIL = 9, SYS_TSS_BUSY = 11, SYS_CALL = 12,
    SYS_INT = 14, SYS_TRAP = 15,
};

#define SEG_TYPE_CODE       8u
#define SEG_TYPE_CONFORMING 4u /* of code; of data: expand-down */
#define SEG_TYPE_WRITE      2u /* of data; of code: readable */
#define SEG_TYPE_ACCESSED   1u
#define SEG_ATTR_CODE64     0xa09bu /* flat ring 0 code; add DPL */
#define SEG_ATTR_CODE32     0xc09bu
#define SEG_ATTR_DATA32     0xc093u

/* A descriptor as it lies in a table. */
struct descriptor {
    uint64_t raw;
    uint64_t va; /* where */
};

static inline unsigned desc_type(uint64_t raw)
{
    return (unsigned)(raw >> 40) & 15;
}

static inline unsigned desc_dpl(uint64_t raw)
{
    return (unsigned)(raw >> 45) & 3;
}

static inline bool desc_is_segment(uint64_t raw) /* S: code or data */
{
    return raw & BIT(44);
}

static inline bool desc_present(uint64_t raw)
{
    return raw & BIT(47);
}

static inline bool desc_is_code(uint64_t raw)
{
    return (raw >> 43 & 3) == 3;
}

static inline bool desc_is_writable_data(uint64_t raw)
{
    return (raw >> 40 & 0x1a) == 0x12;
}

static inline bool desc_is_long(uint64_t raw) /* L */
{
    return raw & BIT(53);
}

static inline bool desc_is_big(uint64_t raw) /* D/B */
{
    return raw & BIT(54);
}

static inline bool desc_is_conforming(uint64_t raw) /* of code */
{
    return raw & BIT(42);
}

static inline bool selector_is_null(uint16_t selector)
{
    return !(selector & 0xfffc);
}

static inline bool fault_code(struct x86_cpu *c, uint8_t vector, uint32_t error)
{
    cpu_raise(c, vector, true, error);
    return false;
}

/* Base, limit in bytes and attributes of a code, data or 8-byte system descriptor. */
struct x86_segment seg_parse(uint16_t selector, uint64_t raw);

/* Does [off, off + size) lie inside seg? Knows expand-down segments. size is not 0. */
bool seg_covers(const struct x86_segment *seg, uint32_t off, unsigned size);

/* Linear address in seg's table; false and nothing raised when outside its limit or not usable. */
bool seg_find_descriptor(const struct x86_cpu *c, uint16_t selector, unsigned size,
                         uint64_t *ret_va);

/* Read the descriptor of selector, which is not null: #vector(selector) when outside the table. */
bool seg_read_descriptor(struct x86_cpu *c, uint16_t selector, uint8_t vector,
                         struct descriptor *ret) must_check;

/* The second half of a 16-byte descriptor in long mode. */
bool seg_read_upper(struct x86_cpu *c, uint16_t selector, uint8_t vector,
                    const struct descriptor *d, uint64_t *ret) must_check;

/* Set the accessed bit of a code or data descriptor in memory and in d. */
bool seg_mark_accessed(struct x86_cpu *c, struct descriptor *d) must_check;

/* MOV, POP, LDS and their kin: load ES, SS, DS, FS or GS as the mode has it. Recomputes. */
bool seg_load(struct x86_cpu *c, enum x86_seg seg, uint16_t selector) must_check;

/* The checks and the descriptor of an SS that goes with privilege level cpl, #vector(selector)
 * being what violations raise. null_ok: 64-bit code follows and a null SS may be loaded. */
bool seg_read_stack(struct x86_cpu *c, uint16_t selector, unsigned cpl, uint8_t vector,
                    bool null_ok, struct x86_segment *ret) must_check;

/* As real and virtual-8086 mode load a register. */
void seg_load_real(struct x86_cpu *c, enum x86_seg seg, uint16_t selector);
void seg_load_v86(struct x86_cpu *c, enum x86_seg seg, uint16_t selector);

/* Load a register with a null selector. Intel's processors clear the base too. */
void seg_set_null(struct x86_cpu *c, enum x86_seg seg, uint16_t selector);

/* What returns to an outer level and exits from virtual-8086 mode do to a register that may not be
 * used any more: selector 0, not usable, but base and limit stay, and 64-bit code sees the base of
 * FS and GS. */
void seg_invalidate(struct x86_cpu *c, enum x86_seg seg);

/* Invalidate data segments that code at the new, outer CPL may not use, and null ones, whose
 * selector may be 1 to 3. */
void seg_drop_inner(struct x86_cpu *c);

/* Everything derived from segment registers, CR0, EFER and RFLAGS.VM: code_size, ea_base[],
 * flatness, and the MMU's idea of mode and privilege. Call after any change of them; cpl is set by
 * the caller. */
void cpu_recompute(struct x86_cpu *c);

/* The same after CS and SS have become flat and CPL or code size has changed, nothing else. */
void cpu_recompute_flat(struct x86_cpu *c, unsigned cpl, enum x86_code_size size);

/* ---- stacks ---- */

/* A stack being pushed on or popped from; the CPU's own RSP is set at the end. */
struct stack {
    struct x86_segment ss; /* not used when wide */
    uint64_t sp;
    uint64_t mask;         /* of SP by address size: 2^16, 2^32, 2^64 less one */
    bool wide;             /* 64-bit mode: no segmentation */
    enum mmu_who who;
    uint16_t error;        /* of the #SS that a limit violation raises */
};

struct stack stack_current(const struct x86_cpu *c);
struct stack stack_on(const struct x86_segment *ss, uint64_t sp);
bool stack_push(struct x86_cpu *c, struct stack *s, unsigned size, uint64_t value) must_check;
bool stack_pop(struct x86_cpu *c, struct stack *s, unsigned size, uint64_t *ret) must_check;

/* Make its SP the CPU's: only the part in mask changes. */
void stack_commit(struct x86_cpu *c, const struct stack *s);

/* SS:SP for privilege level cpl out of the TSS, checked (#TS); long mode: RSP, or IST 1..7, and a
 * null SS. */
bool tss_stack(struct x86_cpu *c, unsigned cpl, unsigned ist, struct stack *ret) must_check;

#endif
