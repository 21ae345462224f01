/* SPDX-License-Identifier: MIT */
/* Translating one block: what translate.c (the block), jit_flags.c, jit_memory.c, jit_flow.c and
 * jit_ops.c (the instructions) share.
 *
 * The guest's arithmetic flags are in EFLAGS, in x86_cpu.jit_flags ("kept"), or in both. What
 * clobbers EFLAGS asks jit_flags_spare() before, so they are kept from then on, if they matter;
 * what uses or writes flags calls jit_flags_op() before. So a run of instructions between two that
 * deal with flags keeps them once, however many addresses it looks up. */
#ifndef VZ_CPU_X86_TRANSLATE_H
#define VZ_CPU_X86_TRANSLATE_H

#include "arch/x86/regs.h"
#include "cpu/x86/decode/optable.h"
#include "cpu/x86/jit/jit_priv.h"

#define SITES_MAX 128
#define MOVING_MAX 512 /* the room for them is part of JIT_BLOCK_DATA_MAX */

/* The same place for the host: [base + index << scale + disp], host registers or H_NONE. */
struct place {
    uint8_t base, index, scale;
    uint8_t spare;                   /* a scratch register that is not in use, or H_NONE */
    int32_t disp;
};

static inline struct host_mem place_mem(const struct place *p)
{
    return host_mem_indexed(p->base, p->index, p->scale, p->disp);
}

/* A TLB miss, to be emitted with what seldom runs. */
struct miss {
    uint8_t *branch;         /* to patch */
    int slot;                /* of x86_cpu.slot[] that the page was looked for in, or -1 */
    uint8_t *half;           /* as in jit_site */
    struct jit_site *site;
};

/* A reason to interpret an instruction and perhaps the rest of the block, to be emitted likewise. */
struct bail {
    uint8_t *branch;
    uint8_t index;           /* of the instruction */
    bool kept;               /* the flags are */
    bool detour;             /* come back, */
    uint8_t guarded;         /* as in jit_detour, */
    const uint8_t *after;    /* here, in the mapping that runs */
};

/* An exit that is not linked. */
struct stub {
    uint8_t *branch[2];      /* to patch; the second may be NULL */
    uint64_t rip;
    bool kept;
};

struct translation {
    struct emit e;
    struct x86_cpu *c;
    struct jit *j;
    struct block *b;
    struct block_end *end;
    struct jit_exits *exits;
    uint8_t bytes[BLOCK_INSNS_MAX * X86_INSN_MAX]; /* of the guest's code: a copy */
    unsigned count;                            /* instructions */
    struct x86_decoded d[BLOCK_INSNS_MAX];
    uint16_t live[BLOCK_INSNS_MAX + 1];        /* flags that matter before instruction n */
    struct miss miss[SITES_MAX];
    unsigned miss_count;
    struct bail bail[SITES_MAX];
    unsigned bail_count;
    uint32_t moving[MOVING_MAX];               /* what depends on home_rip: jit_move.c */
    unsigned moving_count;
    bool moves;                                /* the block may get another home_rip */
    struct stub stub[2];                       /* by link slot */
    uint8_t *looked_up;                        /* the branch taken when something is pending */
    bool in_eflags, kept;                      /* where the flags are, if they matter */
    uint8_t guard;                             /* bits of fpu_slow that some instruction minds */
    uint8_t guarded;                           /* bits of fpu_slow known to be clear by now */
    bool loops;                                /* the block ends with a Jcc to its start, and */
    uint16_t varying;                          /* registers change by more than small steps */
    bool narrow;                               /* 32-bit code with flat segments */
    bool upper;                                /* data is expected in the upper half */
    uint8_t held;                              /* guest register in r10 for instruction */
    unsigned held_for;                         /* this one, or UINT_MAX */
    bool ended;                                /* nothing may follow */
};

static inline bool translation_has(const struct translation *t, enum jit_opt opt)
{
    return jit_has(&t->c->vm->jit, opt);
}

/* Is its access to memory, if it makes one, locked? */
static inline bool jit_is_locked(const struct x86_decoded *d)
{
    return d->has_mem && (d->prefixes & X86_PREFIX_LOCK || d->op == X86_OP_XCHG);
}

/* Emit instruction n. False: it is not one we translate. */
bool jit_op(struct translation *t, unsigned n);

/* Emit what is done as one from instruction n on: PUSHes or POPs in a row (jit_runs.c). The number of instructions, or
 * 0: jit_op() is to do n by itself. */
unsigned jit_op_run(struct translation *t, unsigned n);

/* Is instruction n a RET that is translated? Emit it, r10 being what it reads, while RSP still points there. */
bool jit_is_return(const struct translation *t, unsigned n);
void jit_return(struct translation *t, unsigned n);

/* Some of the integer ones of jit_op(): those of jit_integer.c. */
bool jit_op_integer(struct translation *t, unsigned n);

/* The system's part of them: those of jit_system.c. */
bool jit_op_system(struct translation *t, unsigned n);

/* Of those again: SYSCALL, SYSRET and IRET. And what STAC and CLAC share with them: have the tables of who,
 * enum TLB_FOR_*; empty the stack's slots, those of loops not being in use. r10 is clobbered. */
bool jit_op_privilege(struct translation *t, unsigned n);
void jit_emit_use_tables(struct emit *e, unsigned who);
void jit_emit_empty_slots(struct emit *e);

/* The vector and x87 instructions of jit_op(). */
bool jit_op_fpu(struct translation *t, unsigned n);

/* The bits of fpu_slow that the instruction minds, if it is one of these. */
uint8_t jit_guard_of(const struct insn *i);

static inline uint64_t insn_at(const struct translation *t, unsigned n)
{
    return t->b->home_rip + t->b->insn[n + 1].off;
}

/* rip, as wide as the code makes it */
static inline uint64_t rip_of(const struct translation *t, uint64_t rip)
{
    return t->narrow ? (uint32_t)rip : rip;
}

static inline uint64_t insn_behind(const struct translation *t, unsigned n)
{
    return rip_of(t, insn_at(t, n) + t->d[n].len);
}

/* Does all of the instruction at rip, whichever it may be, lie in the block's own page? */
static inline bool in_own_page(const struct translation *t, uint64_t rip)
{
    return rip >> MEM_PAGE_SHIFT == t->b->home_rip >> MEM_PAGE_SHIFT &&
           (rip & (MEM_PAGE_SIZE - 1)) <= MEM_PAGE_SIZE - X86_INSN_MAX;
}

/* Of a direct branch. */
static inline uint64_t insn_target(const struct translation *t, unsigned n)
{
    return rip_of(t, insn_behind(t, n) + t->d[n].imm);
}

/* Of addresses, and of what goes on the stack. */
static inline unsigned word_size(const struct translation *t)
{
    return t->narrow ? 4 : 8;
}

static inline enum emit_width word_width(const struct translation *t)
{
    return t->narrow ? W32 : W64;
}

/* ---- jit_flags.c ---- */

/* Fill in t->live[]. */
void jit_find_live_flags(struct translation *t);

/* For the comparison of flags by check.h. */
const struct jit_flags *jit_note_flags(struct translation *t);

/* Does the block do better if it is entered with the flags kept? */
bool jit_wants_kept(const struct translation *t);

/* EFLAGS are going to be clobbered before instruction n; r11 too. */
void jit_flags_spare(struct translation *t, unsigned n);

/* Instruction n follows: give it the flags it uses. spare: a register free for it, or H_NONE. */
void jit_flags_op(struct translation *t, unsigned n, unsigned spare);

/* The flags of before instruction n must be in EFLAGS. */
void jit_flags_restore(struct translation *t, unsigned n);

void jit_emit_save_flags(struct emit *e);    /* r11 is clobbered */
void jit_emit_restore_flags(struct emit *e); /* only the flags are */

/* ---- jit_memory.c ---- */

struct address jit_operand_address(const struct translation *t, unsigned n);
struct address jit_stack_address(const struct translation *t, int32_t disp);

/* Is the memory operand of d one that these can do? */
bool jit_address_is_plain(const struct translation *t, const struct x86_decoded *d);

/* r10 = the address; r11 may be clobbered. Flags stay. */
void jit_address(struct translation *t, const struct address *a);

/* Look the address up for an access of instruction n, which goes on at the place returned; r10, r11
 * and, unless they matter, flags are clobbered. align: not 0: whatever is not aligned to it misses. */
struct place jit_look_up(struct translation *t, unsigned n, const struct address *a, unsigned size,
                         enum mmu_access access, unsigned align);

/* Nothing that the instruction does before the access that has just been looked up can fail, nor does that access
 * memory: a page fault there is the instruction's. */
void jit_note_sole(struct translation *t);

/* Make the place need one register, r10. */
void jit_fold(struct translation *t, struct place *p);

/* Fill in t->loops and t->varying. */
void jit_look_for_loop(struct translation *t);

/* op reg, [place], word_size() wide. */
void jit_emit_at(struct translation *t, unsigned op, unsigned reg, const struct place *p);

void jit_emit_misses(struct translation *t);

/* The look-up itself, see there: r11 = the addend, r10 = the page's tag; returns the branch that is
 * taken if it misses. table: where the table's address is; *ret_half: the last byte of its displacement.
 * And what it has found put into a slot. */
uint8_t *jit_emit_look_up(struct emit *e, struct host_mem table, enum mmu_access access,
                          unsigned align, uint8_t **ret_half);

static inline struct host_mem jit_table(bool upper)
{
    return CPU_BEHIND(tlb, upper ? 8 : 0);
}
void jit_emit_fill_slot(struct emit *e, int slot);

/* ---- jit_move.c ---- */

/* This word, in code (the writable mapping) or data, is an address that moves with the block, */
void jit_note_word(struct translation *t, const void *word);

/* and this, the displacement of a struct tlb_entry's field in its table. */
void jit_note_entry(struct translation *t, const void *disp);

/* mov reg, value: an address that moves with the block. Flags stay. */
void jit_emit_own(struct translation *t, unsigned reg, uint64_t value);

/* The block is complete: keep what has been noted. */
void jit_end_notes(struct translation *t);

/* ---- jit_flow.c ---- */

/* Go on at rip by link slot: leave for the main loop, which links. condition: of the Jcc that
 * goes there, or -1. */
void jit_exit_to(struct translation *t, unsigned slot, uint64_t rip, int condition);

/* r11 becomes the struct block_jump in which the code for the address in r10, of this half of the address space, would
 * be; the flags say whether its rip is that. */
void jit_emit_find_jump(struct emit *e, unsigned half);
/* Find the code for the address in r10: r11 becomes its struct block_jump, r10 is lost. It not
 * being there, or no longer, instruction n is interpreted: nothing of it may have happened yet. */
void jit_find_target(struct translation *t, unsigned n);
void jit_jump_to_target(struct translation *t);

/* Interpret from instruction n on if any of the bits slow is set in fpu_slow. */
void jit_guard(struct translation *t, unsigned n, uint8_t slow);

/* If the condition holds, interpret from instruction n on. */
void jit_bail_if(struct translation *t, unsigned n, unsigned condition);

/* If the condition holds, let the interpreter do instruction n, of which nothing has happened yet,
 * and come back behind it. */
void jit_detour_if(struct translation *t, unsigned n, unsigned condition);

/* The same for a branch that has been emitted and is to be aimed. */
void jit_detour_at(struct translation *t, unsigned n, uint8_t *branch);

/* To a common stub, with r11 at the record. */
void jit_jump_with(struct translation *t, const uint8_t *stub, const void *record);

/* Interpret instruction n out of line and come back (detour), or for good (rest of the block). */
void jit_detour(struct translation *t, unsigned n);
void jit_interpret_rest(struct translation *t, unsigned n);

/* The block's entries, up to its body; and what seldom runs. */
void jit_emit_entry(struct translation *t);
void jit_emit_rare(struct translation *t);

void *jit_data_alloc(struct translation *t, size_t len);

#endif
