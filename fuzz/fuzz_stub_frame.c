/* SPDX-License-Identifier: MIT */
/* What a hostile program makes of its stub's frame and of a hand-over's arguments: whatever is taken
 * for an event has registers that a program can have. */
#include <signal.h>
#include <string.h>

#include "fuzz.h"
#include "require.h"
#include "stub/stub_frame.h"

struct input {
    uint64_t arg[6];
    struct stub_frame frame;
};

static void check_regs(const struct stub_regs *r)
{
    require(frame_is_canonical(r->rip), "RIP");
    require(frame_is_canonical(r->fs_base) && frame_is_canonical(r->gs_base), "bases");
    require(r->cs == 0x33 || r->cs == 0x23, "CS");
    require(r->ss == 0x2b, "SS");
    require((r->rflags & 0x202) == 0x202, "flags that are always set");
    require(!(r->rflags & ~UINT64_C(0x254fd7)), "flags that no program can set");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct frame_ways ways = {.kick = SIGUSR1, .icebp_length = size & 1};
    struct stub_regs regs;
    enum stub_event event;
    uint64_t address = 0;
    struct input in = {{0}};

    memcpy(&in, data, size < sizeof(in) ? size : sizeof(in));
    if (!frame_read(&in.frame, in.arg, &ways, &regs, &event, &address))
        return 0;
    require(event <= STUB_KICKED, "the event");
    require(event != STUB_VSYSCALL || regs.rip >> 12 == 0xffffffffff600, "the vsyscall page");
    check_regs(&regs);
    require((frame_flags(regs.rflags) & ~UINT64_C(0x200cd5)) == 0x202, "flags it goes on with");
    return 0;
}

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    static const int signals[] = {SIGSYS, SIGSEGV, SIGTRAP, SIGUSR1, SIGILL};
    struct input in = {.frame = {.cs = 0x33, .ss = 0x2b, .rip = 0x401000, .rflags = 0x246}};

    if (index >= ARRAY_SIZE(signals) || room < sizeof(in))
        return 0;
    in.arg[FRAME_SIGNAL] = (uint64_t)signals[index];
    in.arg[FRAME_SELECTORS] = index & 1 ? 0x2b002b : 0;
    in.frame.signo = signals[index];
    in.frame.trap = index & 1 ? 14 : 1;
    memcpy(ret, &in, sizeof(in));
    return sizeof(in);
}
