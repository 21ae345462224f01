/* SPDX-License-Identifier: MIT */
/* Code memory, the stubs that translated code shares, links between translated blocks, and what
 * happens on a TLB miss. Code memory is one memory file mapped twice: executable, and writable
 * at another address; no page is ever both. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/jit/check.h"
#include "cpu/x86/jit/jit_priv.h"
#include "cpu/x86/jit/translate.h"
#include "cpu/x86/mmu/mmu_priv.h"

/* Registers the C calling convention wants kept, in the order they are pushed. */
static const uint8_t kept[] = {H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15};

/* ---- stubs ---- */

static void emit_load_guest(struct emit *e)
{
    emit_load_ax(e, H_R15, CPU_OFF(af));
    emit_flags_from_ax(e);
    for (unsigned g = 0; g < 16; g++)
        if (!jit_in_memory(g))
            emit_load(e, jit_host_reg(g), H_R15, REG_OFF(g));
}

static void emit_spill_guest(struct emit *e)
{
    for (unsigned g = 0; g < 16; g++)
        if (!jit_in_memory(g))
            emit_store(e, jit_host_reg(g), H_R15, REG_OFF(g));
    emit_ax_from_flags(e);
    emit_store_ax(e, H_R15, CPU_OFF(af));
}

static void emit_pop_kept(struct emit *e)
{
    emit8(e, 0x48), emit8(e, 0x83), emit8(e, 0xc4), emit8(e, 8); /* add rsp, 8 */
    for (unsigned n = sizeof(kept); n--;)
        emit_pop(e, kept[n]);
}

/* void enter(struct x86_cpu *c, const void *code) */
static void emit_enter(struct emit *e)
{
    for (unsigned n = 0; n < sizeof(kept); n++)
        emit_push(e, kept[n]);
    emit8(e, 0x48), emit8(e, 0x83), emit8(e, 0xec), emit8(e, 8); /* sub rsp, 8 */
    emit_lea(e, H_R15, H_RDI, H_NONE, 0, CPU_BIAS);
    emit_move(e, H_R11, H_RSI);
    emit_load_guest(e);
    emit8(e, 0x41), emit8(e, 0xff), emit8(e, 0xe3); /* jmp r11 */
}

/* Back to the main loop; rip, and link if need be, are set. */
static void emit_leave(struct emit *e)
{
    emit_spill_guest(e);
    emit_pop_kept(e);
    emit8(e, 0xc3);
}

/* Jump to the function of the struct insn in rsi, as the interpreter would. */
static void emit_to_insn(struct emit *e)
{
    emit_lea(e, H_RDI, H_R15, H_NONE, 0, -CPU_BIAS);
    emit_pop_kept(e);
    emit8(e, 0xff), emit8(e, 0x26); /* jmp [rsi] */
}

/* Interpret from the struct insn in r10; block RIP is set. */
static void emit_interpret(struct emit *e, bool check)
{
    emit_spill_guest(e);
    emit_move(e, H_RSI, H_R10);
    if (check) {
        emit_lea(e, H_RDI, H_R15, H_NONE, 0, -CPU_BIAS);
        emit_const(e, H_RAX, (uint64_t)(uintptr_t)jit_check_hand_over);
        emit8(e, 0xff), emit8(e, 0xd0); /* call rax */
        emit_move(e, H_RSI, H_RAX);
    }
    emit_to_insn(e);
}

/* TLB miss: r10 the address, r11 the site. */
static void emit_slow(struct emit *e)
{
    uint8_t *again;

    emit_spill_guest(e);
    emit_lea(e, H_RDI, H_R15, H_NONE, 0, -CPU_BIAS);
    emit_move(e, H_RSI, H_R11);
    emit_move(e, H_RDX, H_R10);
    emit_const(e, H_RAX, (uint64_t)(uintptr_t)jit_slow);
    emit8(e, 0xff), emit8(e, 0xd0); /* call rax */
    emit8(e, 0x85), emit8(e, 0xc0); /* test eax, eax */
    again = emit_jcc_forward(e, 5);
    emit_load(e, H_RSI, H_R15, CPU_OFF(jit_insn));
    emit_to_insn(e);
    emit_patch(e, again);
    emit_load_guest(e);
    emit_load(e, H_R11, H_R15, CPU_OFF(jit_addend));
    emit_jmp_mem(e, H_R15, CPU_OFF(jit_resume));
}

/* An indirect branch found an untranslated block: r11 its struct block_jump; the flags are
 * kept. */
static void emit_interpret_slot(struct emit *e, const struct jit *j, bool check)
{
    jit_emit_restore_flags(e);
    emit_load(e, H_R10, H_R11, offsetof(struct block_jump, rip));
    if (check) { /* the end of a block, as any other */
        emit_store(e, H_R10, H_R15, CPU_OFF(rip));
        emit_jmp(e, j->leave);
        return;
    }
    emit_store(e, H_R10, H_R15, REG_OFF(REG_BLOCK_RIP));
    emit_load(e, H_R10, H_R11, offsetof(struct block_jump, to));
    emit_jmp(e, j->interpret);
}

static void emit_stubs(struct jit *j, bool check)
{
    struct emit e = {j->write, j->run - j->write};

    j->enter = emit_here(&e);
    emit_enter(&e);
    j->leave = emit_here(&e);
    emit_leave(&e);
    j->interpret = emit_here(&e);
    emit_interpret(&e, check);
    j->slow = emit_here(&e);
    emit_slow(&e);
    j->interpret_slot = emit_here(&e);
    emit_interpret_slot(&e, j, check);
    j->first = e.w;
}

/* ---- life ---- */

static int map_code(struct jit *j)
{
    int fd = memfd_create("vz-jit", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)j->code_bytes) < 0) {
        if (fd >= 0)
            close(fd);
        return -errno;
    }
    j->write = mmap(NULL, j->code_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    j->run = mmap(NULL, j->code_bytes, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    j->data = mmap(NULL, j->data_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    close(fd);
    return j->write == MAP_FAILED || j->run == MAP_FAILED || j->data == MAP_FAILED ? -ENOMEM : 0;
}

static void unmap(void *p, size_t len)
{
    if (p && p != MAP_FAILED)
        munmap(p, len);
}

/* Where perf looks for names of code that no file holds. All vCPUs append to it. */
static int open_perf_map(void)
{
    char name[64];

    snprintf(name, sizeof(name), "/tmp/perf-%d.map", (int)getpid());
    return open(name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
}

void jit_note_for_perf(struct x86_cpu *c, const struct block *b)
{
    const struct jit_exits *exits = ((const struct block_end *)(b->insn + b->count))->exits;
    char line[96];
    int len;

    if (likely(c->jit->perf_map < 0))
        return;
    fpu_park(c);
    len = snprintf(line, sizeof(line), "%llx %x guest_%s_%llx\n",
                   (unsigned long long)(uintptr_t)exits->code, exits->code_bytes,
                   c->cpl == 3 ? "user" : "kernel", (unsigned long long)b->home_rip);
    if (write(c->jit->perf_map, line, (size_t)len) < 0) { /* no names then */
        close(c->jit->perf_map);
        c->jit->perf_map = -1;
    }
}

void jit_destroy(struct x86_cpu *c)
{
    if (!c->jit)
        return;
    if (c->jit->perf_map >= 0)
        close(c->jit->perf_map);
    unmap(c->jit->write, c->jit->code_bytes);
    unmap(c->jit->run, c->jit->code_bytes);
    unmap(c->jit->data, c->jit->data_bytes);
    free(c->jit->translation);
    free(c->jit);
    c->jit = NULL;
}

int jit_create(struct x86_cpu *c)
{
    int r;

    c->jit = calloc(1, sizeof(*c->jit));
    if (!c->jit)
        return -ENOMEM;
    c->jit->code_bytes = align_up(c->vm->jit.cache_bytes, MEM_PAGE_SIZE);
    c->jit->data_bytes = 2 * c->jit->code_bytes;
    c->jit->perf_map = c->vm->jit.perf ? open_perf_map() : -1;
    c->jit->translation = malloc(sizeof(*c->jit->translation));
    r = c->jit->translation ? map_code(c->jit) : -ENOMEM;
    if (r < 0) {
        jit_destroy(c);
        return r;
    }
    emit_stubs(c->jit, c->check);
    jit_empty(c);
    return 0;
}

void jit_empty(struct x86_cpu *c)
{
    if (!c->jit)
        return;
    c->jit->next = c->jit->first;
    c->jit->data_next = c->jit->data;
}

const void *jit_interpret_stub(const struct x86_cpu *c)
{
    return c->jit ? c->jit->interpret_slot : NULL;
}

void jit_enter(struct x86_cpu *c, const void *code)
{
    void (*enter)(struct x86_cpu *, const void *) =
        (void (*)(struct x86_cpu *, const void *))(uintptr_t)c->jit->enter;

    enter(c, code);
}

/* ---- links ---- */

static uint8_t *writable(const struct jit *j, const void *run)
{
    return j->write + ((const uint8_t *)run - j->run);
}

static void aim(const struct jit *j, uint8_t *rel, const uint8_t *target)
{
    int32_t d = (int32_t)(target - (j->run + (rel - j->write) + 4));

    __builtin_memcpy(rel, &d, 4);
}

void jit_kill(struct x86_cpu *c, struct block *b)
{
    if (!b->code)
        return;
    uint8_t *entry = writable(c->jit, b->code);

    c->count.jit_kills++;
    entry[0] = 0xe9;
    aim(c->jit, entry + 1, b->entry.stale);
    b->code = NULL;
}

static struct jit_exits *exits_of(struct block_link *link)
{
    return container_of(link - block_link_slot(link), struct block_end, link[0])->exits;
}

void jit_unlink(struct x86_cpu *c, struct block_link *link)
{
    struct jit_exits *exits = exits_of(link);
    struct jit_exit *exit = exits ? &exits->exit[block_link_slot(link)] : NULL;

    if (exit && exit->rel)
        aim(c->jit, exit->rel, exit->unlinked);
}

/* Every loop has a link that does not lead forward, or goes through the main loop or an indirect
 * branch: forward links need not look for events. */
void jit_link(struct x86_cpu *c, struct block_link *link, const struct block *to)
{
    struct jit_exits *exits = exits_of(link);
    struct jit_exit *exit = exits ? &exits->exit[block_link_slot(link)] : NULL;
    bool forward;

    /* The block may just have been interpreted at another address than it is translated for. */
    if (!exit || !exit->rel || !to->code || to->home_rip != c->rip || exit->rip != c->rip ||
        !jit_has(&c->vm->jit, JIT_OPT_CHAIN))
        return;
    forward = to->home_rip > exits->from && jit_has(&c->vm->jit, JIT_OPT_FORWARD) && !c->check;
    if (exit->kept)
        aim(c->jit, exit->rel, forward ? to->entry.kept_body : to->entry.kept);
    else
        aim(c->jit, exit->rel, forward ? to->entry.flags_body : to->entry.flags);
}

/* ---- misses and detours ---- */

/* Host address of an access that needs no more than the access itself, or NULL. What is read
 * across pages that are not neighbours in RAM is copied. */
static const uint8_t *host_of(struct x86_cpu *c, const struct jit_site *site, uint64_t va)
{
    unsigned first = MEM_PAGE_SIZE - (unsigned)(va & (MEM_PAGE_SIZE - 1));
    uint64_t last = va + site->size - 1;
    struct xlat x, y;

    if (!is_canonical(va) || !is_canonical(last) || last < va || (c->dr7 & 0xff) ||
        (!in_64bit(c) && last > UINT32_MAX) ||
        mmu_checks_alignment(c) || (site->align && va & (site->align - 1u)))
        return NULL;
    if (!mmu_translate(c, va, site->access, MMU_CURRENT, false, &x) || !x.host ||
        (site->access == MMU_WRITE && !x.plain))
        return NULL;
    if (first >= site->size)
        return x.host;
    if (site->locked || !jit_has(&c->vm->jit, JIT_OPT_SPAN) ||
        !mmu_translate(c, tlb_page(last), site->access, MMU_CURRENT, false, &y) ||
        !y.host || (site->access == MMU_WRITE && !y.plain))
        return NULL;
    if (y.host == x.host + first)
        return x.host;
    if (site->access == MMU_WRITE)
        return NULL;
    for (unsigned n = 0; n < site->size; n++)
        c->jit_bounce[n] = n < first ? x.host[n] : y.host[n - first];
    return c->jit_bounce;
}

static uint64_t look_again(struct x86_cpu *c, const struct jit_site *site, uint64_t va)
{
    struct jit_detour *d = &c->jit->missed;
    const uint8_t *host;

    if (site->flags_kept)
        c->af = c->jit_flags;
    host = host_of(c, site, va);
    if (host) {
        c->jit_resume = site->hit;
        c->jit_addend = (uint64_t)(uintptr_t)host - va;
        return 1;
    }
    c->reg[REG_BLOCK_RIP] = site->block->home_rip;
    c->jit_insn = site->insn;
    if (site->after) {
        *d = (struct jit_detour){.insn = *site->insn,
                                 .back = {.fn = insn_jit_resume,
                                          .imm = (uint64_t)(uintptr_t)site->after},
                                 .block = site->block,
                                 .next_rip = site->next_rip,
                                 .next = site->next,
                                 .guarded = site->guarded};
        c->jit_insn = &d->insn;
    }
    return 0;
}

/* Translated code relies on what it has found out about the vector state. */
static bool vector_state_as_before(struct x86_cpu *c, uint8_t guarded)
{
    if ((c->fpu_slow & guarded) == FPU_NOT_LIVE && !VZ_HIDDEN_CALLS)
        fpu_make_live(c);
    return !(c->fpu_slow & guarded);
}

uint64_t jit_slow(struct x86_cpu *c, const struct jit_site *site, uint64_t va)
{
    uint64_t r = look_again(c, site, va);

    c->count.jit_misses++;
    if (unlikely(c->check) && !r)
        c->jit_insn = jit_check_hand_over(c, c->jit_insn);
    return r;
}

void insn_jit_resume(struct x86_cpu *c, const struct insn *i)
{
    const struct jit_detour *d = container_of(i, struct jit_detour, back);

    c->count.jit_detours++;
    /* It may have overwritten its own block. */
    if (unlikely(!d->block->code || !vector_state_as_before(c, d->guarded))) {
        c->rip = d->next_rip;
        return;
    }
    c->jit_flags = c->af;
    if (unlikely(c->check))
        jit_check_enter(c, d->block, d->next, (const void *)(uintptr_t)i->imm);
    else
        jit_enter(c, (const void *)(uintptr_t)i->imm);
}
