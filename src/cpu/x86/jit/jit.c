/* SPDX-License-Identifier: MIT */
/* Code memory, links between translated blocks, and what happens on a TLB miss. Code memory is one
 * memory file mapped twice: executable, and writable at another address; no page is ever both. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "cpu/x86/engine.h"
#include "cpu/x86/event.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/jit/check.h"
#include "cpu/x86/jit/jit_priv.h"
#include "cpu/x86/jit/record.h"
#include "cpu/x86/jit/translate.h"
#include "cpu/x86/mmu/mmu_space.h"

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
    /* Code reaches the data behind it relative to RIP. */
    j->run = mmap(NULL, j->code_bytes + j->data_bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (j->run != MAP_FAILED) {
        j->data = j->run + j->code_bytes;
        if (mmap(j->run, j->code_bytes, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd, 0) ==
            MAP_FAILED) {
            munmap(j->run, j->code_bytes + j->data_bytes);
            j->run = MAP_FAILED;
        }
    }
    close(fd);
    return j->write == MAP_FAILED || j->run == MAP_FAILED ? -ENOMEM : 0;
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
    const struct jit_exits *exits = jit_exits_of(c, b);
    char line[96];
    int len;

    if (likely(c->jit->perf_map < 0))
        return;
    fpu_park(c);
    len = snprintf(line, sizeof(line), "%llx %x guest_%s_%llx\n",
                   (unsigned long long)(uintptr_t)jit_code_begin(c->jit, exits), (unsigned)exits->code_bytes,
                   c->cpl == 3 ? "user" : "kernel", (unsigned long long)b->home_rip);
    if (write(c->jit->perf_map, line, (size_t)len) < 0) { /* no names then */
        close(c->jit->perf_map);
        c->jit->perf_map = -1;
    }
}

static void destroy(struct x86_cpu *c)
{
    jit_check_destroy(c);
    if (!c->jit)
        return;
    if (c->jit->perf_map >= 0)
        close(c->jit->perf_map);
    if (c->jit->record >= 0)
        close(c->jit->record);
    unmap(c->jit->write, c->jit->code_bytes);
    unmap(c->jit->run, c->jit->code_bytes + c->jit->data_bytes);
    free(c->jit->translation);
    free(c->jit);
    c->jit = NULL;
}

static int create(struct x86_cpu *c)
{
    int r = c->vm->jit.check ? jit_check_create(c) : 0;

    if (r < 0)
        return r;

    c->jit = calloc(1, sizeof(*c->jit));
    if (!c->jit)
        return -ENOMEM;
    c->jit->code_bytes = align_up(c->vm->jit.cache_bytes, MEM_PAGE_SIZE);
    c->jit->data_bytes = 2 * c->jit->code_bytes;
    c->jit->next_slot = TLB_SLOTS - 1; /* the next is the first free one */
    c->jit->perf_map = c->vm->jit.perf ? open_perf_map() : -1;
    c->jit->record = c->vm->jit.record ? jit_record_open() : -1;
    c->jit->translation = malloc(sizeof(*c->jit->translation));
    r = c->jit->translation ? map_code(c->jit) : -ENOMEM;
    if (r < 0)
        return r;
    jit_emit_stubs(c);
    c->jit->rare = c->jit->write + align_down(c->jit->code_bytes / JIT_RARE_SHARE * (JIT_RARE_SHARE - 1), 64);
    jit_empty(c);
    return 0;
}

void jit_empty(struct x86_cpu *c)
{
    if (!c->jit)
        return;
    c->jit->next = c->jit->first;
    c->jit->rare_next = c->jit->rare;
    c->jit->data_next = c->jit->data;
}

void jit_give_back(struct x86_cpu *c)
{
    struct jit *j = c->jit;
    size_t kept;

    if (!j)
        return;
    kept = align_up((size_t)(j->first - j->write), MEM_PAGE_SIZE); /* the stubs */
    if (kept < j->code_bytes)
        (void)madvise(j->write + kept, j->code_bytes - kept, MADV_REMOVE); /* of the file, so of both mappings */
    (void)madvise(j->data, j->data_bytes, MADV_DONTNEED);
}

const void *jit_code_of(const struct x86_cpu *c, const struct block *b)
{
    return jit_code_at(c->jit, jit_exits_of(c, b)->entry.kept);
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

void jit_enter_block(struct x86_cpu *c, const struct block *b)
{
    const void *code = jit_code_at(c->jit, jit_exits_of(c, b)->entry.flags_body);

    if (unlikely(c->check))
        jit_check_enter(c, b, 0, code);
    else
        jit_enter(c, code);
}

/* ---- the engine ---- */

/* The block at the current rip, if it is known and translated for there, or NULL. */
static const struct block *known_translation(struct x86_cpu *c)
{
    const struct block *b = block_known(c);

    return b && block_translated_at(b, c->rip) ? b : NULL;
}

static void run(struct x86_cpu *c, const void *code)
{
    jit_enter_block(c, code);
}

/* Where a link waits for its target, the block is left to the interpreter to find, which sees to
 * that. So is what the front cache does not know. */
static enum x86_offer next(struct x86_cpu *c, struct x86_stretch *ret)
{
    const struct block *b = c->link ? NULL : known_translation(c);

    if (!b)
        return X86_OFFER_NONE;
    c->reg[REG_BLOCK_RIP] = c->rip;
    block_jump_slot(c, c->rip)->code = jit_code_of(c, b);
    *ret = (struct x86_stretch){run, b};
    return X86_OFFER_READY;
}

/* The slots are copies of TLB entries; which of those is gone they do not know. */
static void mappings_gone(struct x86_cpu *c, const struct x86_gone *gone)
{
    mmu_empty_slots(c);
}

static void page_watched(struct x86_cpu *c, const uint8_t *host)
{
    mmu_empty_slots(c);
}

const struct x86_engine x86_translator = {
    .name = "translator",
    .create = create, .destroy = destroy,
    .next = next,
    .mappings_gone = mappings_gone, .page_watched = page_watched,
};

/* ---- links ---- */

/* Let the displacement at rel lead to target; both are places in code memory. */
static void aim(const struct jit *j, uint32_t rel, uint32_t target)
{
    int32_t d = (int32_t)(target - (rel + 4));

    __builtin_memcpy(j->write + rel, &d, 4);
}

uint64_t jit_granules(const struct x86_cpu *c, const struct block *b)
{
    const struct jit_exits *exits = jit_exits_of(c, b);

    return exits ? exits->granules : 0;
}

void jit_kill(struct x86_cpu *c, struct block *b)
{
    const struct jit_entries *entry;

    if (!b->translated)
        return;
    entry = &jit_exits_of(c, b)->entry;
    c->count.jit_kills++;
    c->jit->write[entry->kept] = 0xe9;
    aim(c->jit, entry->kept + 1, entry->stale);
    b->translated = false;
}

/* The one that follows the link, or NULL. */
static struct jit_exit *exit_of(const struct x86_cpu *c, const struct block_link *link)
{
    struct jit_exits *exits = jit_exits_of(c, block_with(link));
    unsigned slot = block_link_slot(link);

    return exits && slot < exits->exit_count && exits->exit[slot].rel ? &exits->exit[slot] : NULL;
}

void jit_unlink(struct x86_cpu *c, struct block_link *link)
{
    struct jit_exit *exit = exit_of(c, link);

    if (!exit)
        return;
    aim(c->jit, exit->rel, exit->unlinked);
    exit->aimed = false;
}

bool jit_looks_first(const struct x86_cpu *c, const struct block_link *link)
{
    const struct jit_exit *exit = exit_of(c, link);

    return !exit || exit->looks; /* the interpreter always does */
}

/* Every loop has a link that does not lead forward, or goes through the main loop or an indirect
 * branch: forward links need not look for events. */
void jit_link(struct x86_cpu *c, struct block_link *link, const struct block *to)
{
    struct jit_exit *exit = exit_of(c, link);
    const struct jit_entries *entry;
    bool forward;

    if (!exit || !block_translated_at(to, c->rip) || exit->rip != c->rip ||
        !jit_has(&c->vm->jit, JIT_OPT_CHAIN))
        return;
    exit->aimed = true;
    entry = &jit_exits_of(c, to)->entry;
    forward = to->home_rip > jit_exits_of(c, block_with(link))->from && jit_has(&c->vm->jit, JIT_OPT_FORWARD) && !c->check;
    if (exit->kept)
        aim(c->jit, exit->rel, forward ? entry->kept_body : entry->kept);
    else
        aim(c->jit, exit->rel, forward ? entry->flags_body : entry->flags);
}

/* ---- system instructions ---- */

/* As loop_once() in run.c looks. */
static bool main_loop_is_wanted(const struct x86_cpu *c)
{
    return c->fault.pending || atomic_load_explicit(&c->pending, memory_order_relaxed) || c->intr_held ||
           event_must_step(c) || c->mov_ss_shadow || c->run_state != X86_RUNNING;
}

const void *jit_do_system(struct x86_cpu *c, const struct jit_bail *bail)
{
    const struct block *b;

    c->reg[REG_BLOCK_RIP] = bail->block_rip;
    bail->insn->fn(c, bail->insn);
    c->sti_shadow = false; /* over, even if the STI did not come by the main loop */
    if (main_loop_is_wanted(c))
        return NULL;
    b = known_translation(c);
    return b ? jit_code_at(c->jit, jit_exits_of(c, b)->entry.flags_body) : NULL;
}

/* ---- misses and detours ---- */

/* Is a page fault there what the instruction raises, whatever else it would do? Then nobody has to walk again. */
static bool may_raise(const struct x86_cpu *c, const struct jit_site *site, unsigned room)
{
    return site->sole && room >= site->size && !c->check && !c->vm->embedded;
}

/* Host address of an access that needs no more than the access itself, or NULL; it may have recorded a fault. What is
 * read across pages that are not neighbours in RAM is copied. */
static const uint8_t *host_of(struct x86_cpu *c, const struct jit_site *site, uint64_t va)
{
    unsigned first = MEM_PAGE_SIZE - (unsigned)(va & (MEM_PAGE_SIZE - 1));
    uint64_t last = va + site->size - 1;
    struct xlat x, y;

    if (!is_canonical(va) || !is_canonical(last) || last < va || (c->dr7 & 0xff) ||
        (!in_64bit(c) && last > UINT32_MAX) ||
        mmu_checks_alignment(c) || (site->align && va & (site->align - 1u)))
        return NULL;
    if (!mmu_translate(c, va, site->access, MMU_CURRENT, may_raise(c, site, first), &x) || !x.host ||
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

/* The address that a site's access is at, from the registers. */
static uint64_t address_of(const struct x86_cpu *c, const struct address *a)
{
    uint64_t va = a->at;

    if (!a->fixed) {
        va = (uint64_t)(int64_t)a->disp;
        if (a->base < 16)
            va += c->reg[a->base];
        if (a->index < 16)
            va += c->reg[a->index] << a->scale;
        if (a->narrow)
            va = (uint32_t)va;
    }
    return a->seg >= X86_FS && a->seg < X86_SEG_COUNT ? va + c->ea_base[a->seg] : va;
}

/* A kernel's accesses to its user's memory are few, and always the same ones. */
#define ELSEWHERE_OFTEN 16

_Static_assert(CPU_OFF(tlb) + 8 <= INT8_MAX, "the displacement is one byte");

/* Where an access is time and again to the other half of the address space than it is looked for in,
 * look there. */
static void note_half(struct x86_cpu *c, struct jit_site *site, uint64_t va)
{
    uint8_t wanted = (uint8_t)(CPU_OFF(tlb) + (va >> 63 ? 8 : 0));

    if (!site->half || c->jit->write[site->half] == wanted || ++site->elsewhere < ELSEWHERE_OFTEN)
        return;
    site->elsewhere = 0;
    c->jit->write[site->half] = wanted;
}

INSN(insn_raised)
{
    /* back to the main loop, which delivers it */
}

static const struct insn raised = {.fn = insn_raised};

/* Translated code relies on what it has found out about the vector state, which may have been
 * parked meanwhile: by who asks for a page of memory, for one. */
static bool vector_state_as_before(struct x86_cpu *c, uint8_t guarded)
{
    if ((c->fpu_slow & guarded) == FPU_NOT_LIVE && !VZ_HIDDEN_CALLS)
        fpu_make_live(c);
    return !(c->fpu_slow & guarded);
}

static uint64_t look_again(struct x86_cpu *c, struct jit_site *site)
{
    uint64_t va = address_of(c, &site->address);
    const struct block *b = jit_exits_of_site(site)->block;
    const struct insn *i = &b->insn[site->index + 1];
    struct jit_detour *d = &c->jit->missed;
    const uint8_t *host;

    if (site->flags_kept)
        c->af = c->jit_flags;
    note_half(c, site, va);
    host = host_of(c, site, va);
    if (host && likely(vector_state_as_before(c, site->guarded))) {
        c->jit_resume = site->hit;
        c->jit_addend = (uint64_t)(uintptr_t)host - va;
        return 1;
    }
    c->reg[REG_BLOCK_RIP] = b->home_rip;
    if (c->fault.pending) {
        c->rip = insn_rip(c, i);
        c->jit_insn = &raised;
        return 0;
    }
    c->jit_insn = i;
    if (site->after) {
        *d = (struct jit_detour){.insn = *i,
                                 .back = {.fn = insn_jit_resume,
                                          .imm = (uint64_t)(uintptr_t)site->hit + site->after,
                                          .aux = (uint8_t)(site->index + 1u),
                                          .vreg = site->guarded,
                                          .reg = site->held},
                                 .block = b};
        c->jit_insn = &d->insn;
    }
    return 0;
}

uint64_t jit_slow(struct x86_cpu *c, struct jit_site *site)
{
    uint64_t r = look_again(c, site);

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
    if (unlikely(!d->block->translated || !vector_state_as_before(c, i->vreg))) {
        c->rip = insn_next_rip(c, &d->insn);
        return;
    }
    c->jit_flags = c->af;
    c->jit_word = c->reg[i->reg];
    if (unlikely(c->check))
        jit_check_enter(c, d->block, i->aux, (const void *)(uintptr_t)i->imm);
    else
        jit_enter(c, (const void *)(uintptr_t)i->imm);
}
