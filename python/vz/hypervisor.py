# SPDX-License-Identifier: MIT
"""The level below Machine, <vz/hypervisor.h>: memory, virtual CPUs and their exits, for programs that
bring the rest of a machine themselves.

    from vz import hypervisor as hv

    with hv.VM() as vm:
        ram = vm.memory(0, 0x10000)
        ram[0x1000:0x1001] = b"\\xf4"                # hlt
        with vm.vcpu(0) as vcpu:
            vcpu.set_segment(hv.SegmentReg.CS, hv.Segment(limit=0xffff, access=0x9b))
            vcpu[hv.Reg.RIP] = 0x1000
            assert vcpu.run().reason == hv.ExitReason.HALT

A vCPU belongs to the thread that made it; only cancel() may come from another one."""
import mmap
from typing import Any, Dict, NamedTuple, Optional, Tuple

from ._library import enumeration, ffi, lib, new_error, text

Result = enumeration("Result", "vz_hv_result", "VZ_HV_")
ExitReason = enumeration("ExitReason", "vz_hv_exit_reason", "VZ_HV_EXIT_")
Reg = enumeration("Reg", "vz_hv_reg", "VZ_HV_REG_")
SegmentReg = enumeration("SegmentReg", "vz_hv_segment_reg", "VZ_HV_")
TableReg = enumeration("TableReg", "vz_hv_table_reg", "VZ_HV_")

READ, WRITE, EXEC = lib.VZ_HV_MEMORY_READ, lib.VZ_HV_MEMORY_WRITE, lib.VZ_HV_MEMORY_EXEC


class HypervisorError(Exception):
    """What a function of this level returned. result: a Result."""

    def __init__(self, result: int, why: Optional[str] = None) -> None:
        super().__init__(why or text(lib.vz_hv_result_text(result)))
        self.result = Result(result)


def _check(result: int, why: Optional[str] = None) -> None:
    if result:
        raise HypervisorError(result, why)


class Exit(NamedTuple):
    """Why run() returned; <vz/hypervisor.h> says which members a reason fills in."""
    reason: Any
    size: int
    address: int
    value: int
    text: Optional[str]


class Segment(NamedTuple):
    """access: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15."""
    base: int = 0
    limit: int = 0
    selector: int = 0
    access: int = 0


class VM:
    """A virtual machine without memory and CPUs."""

    def __init__(self, accelerator: Optional[str] = None, irqchip: bool = False,
                 unprobed: bool = False, vcpu_max: int = 8) -> None:
        name = ffi.new("char[]", accelerator.encode()) if accelerator else ffi.NULL
        flags = (lib.VZ_HV_VM_IRQCHIP if irqchip else 0) | (lib.VZ_HV_VM_UNPROBED if unprobed else 0)
        options = ffi.new("struct vz_hv_vm_options *", {
            "size": ffi.sizeof("struct vz_hv_vm_options"), "accelerator": name, "flags": flags,
            "vcpu_max": vcpu_max})
        ret, err = ffi.new("struct vz_hv_vm **"), new_error()
        self._c: Any = None
        self._memory: Dict[int, Any] = {}  # what is mapped must live as long
        result = lib.vz_hv_vm_create(options, ret, err)
        _check(result, text(err.text) if result else None)
        self._c = ret[0]

    @property
    def c(self) -> Any:
        """The struct vz_hv_vm *."""
        if not self._c:
            raise ValueError("the VM is closed")
        return self._c

    @property
    def accelerator(self) -> Optional[str]:
        return text(lib.vz_hv_vm_accelerator(self.c))

    def __repr__(self) -> str:
        return f"<vz.hypervisor.VM on {self.accelerator}>" if self._c else "<vz.hypervisor.VM closed>"

    def close(self) -> None:
        """Its vCPUs must be closed before."""
        if self._c:
            _check(lib.vz_hv_vm_destroy(self._c))
            self._c = None
            self._memory.clear()

    def __enter__(self) -> "VM":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    # ---- Memory --------------------------------------------------------------------------------

    def memory(self, gpa: int, length: int, flags: int = READ | WRITE | EXEC) -> mmap.mmap:
        """New memory for the guest at gpa, which the program sees as what is returned."""
        memory = mmap.mmap(-1, length)
        self.map(memory, gpa, flags)
        return memory

    def map(self, memory: Any, gpa: int, flags: int = READ | WRITE | EXEC) -> None:
        """Let the guest see a buffer, of whole pages at a page's beginning."""
        buffer = ffi.from_buffer(memory, require_writable=bool(flags & WRITE))
        _check(lib.vz_hv_vm_map(self.c, buffer, gpa, len(buffer), flags))
        self._memory[gpa] = buffer

    def unmap(self, gpa: int, length: int) -> None:
        """The buffer is kept until the VM is closed if only a part of it goes."""
        _check(lib.vz_hv_vm_unmap(self.c, gpa, length))
        if gpa in self._memory and len(self._memory[gpa]) == length:
            del self._memory[gpa]

    def protect(self, gpa: int, length: int, flags: int) -> None:
        _check(lib.vz_hv_vm_protect(self.c, gpa, length, flags))

    def memory_written(self, gpa: int, length: int) -> None:
        """The program has changed code that may have been executed before."""
        _check(lib.vz_hv_vm_memory_written(self.c, gpa, length))

    # ---- Interrupts, with irqchip=True ---------------------------------------------------------

    def set_irq(self, irq: int, level: bool) -> None:
        _check(lib.vz_hv_vm_set_irq(self.c, irq, level))

    def send_msi(self, address: int, data: int) -> None:
        _check(lib.vz_hv_vm_send_msi(self.c, address, data))

    def vcpu(self, index: int) -> "Vcpu":
        return Vcpu(self, index)


class Vcpu:
    """A virtual CPU, of the thread that makes it. vcpu[Reg.RIP] reads and sets a register."""

    def __init__(self, vm: VM, index: int) -> None:
        ret = ffi.new("struct vz_hv_vcpu **")
        self._c: Any = None
        self.vm, self.index = vm, index  # the VM must outlive it
        _check(lib.vz_hv_vcpu_create(vm.c, index, ret))
        self._c = ret[0]

    @property
    def c(self) -> Any:
        """The struct vz_hv_vcpu *."""
        if not self._c:
            raise ValueError("the vCPU is closed")
        return self._c

    def __repr__(self) -> str:
        return f"<vz.hypervisor.Vcpu {self.index}>"

    def close(self) -> None:
        if self._c:
            _check(lib.vz_hv_vcpu_destroy(self._c))
            self._c = None

    def __enter__(self) -> "Vcpu":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def reset(self) -> None:
        _check(lib.vz_hv_vcpu_reset(self.c))

    def run(self, deadline_ns: Optional[int] = None) -> Exit:
        """Run guest code until the program must see something; with deadline_ns, a time of
        time.monotonic_ns(), until then."""
        e = ffi.new("struct vz_hv_exit *")
        if deadline_ns is None:
            _check(lib.vz_hv_vcpu_run(self.c, e))
        else:
            _check(lib.vz_hv_vcpu_run_until(self.c, deadline_ns, e))
        return Exit(ExitReason(e.reason), e.size, e.address, e.value, text(e.text))

    def answer(self, value: int) -> None:
        """What the read of the last exit gives."""
        _check(lib.vz_hv_vcpu_answer(self.c, value))

    def cancel(self) -> None:
        """Make run() return; from any thread."""
        _check(lib.vz_hv_vcpu_cancel(self.c))

    # ---- Registers -----------------------------------------------------------------------------

    def __getitem__(self, reg: Any) -> int:
        ret = ffi.new("uint64_t *")
        _check(lib.vz_hv_vcpu_get_reg(self.c, reg, ret))
        return int(ret[0])

    def __setitem__(self, reg: Any, value: int) -> None:
        _check(lib.vz_hv_vcpu_set_reg(self.c, reg, value))

    def segment(self, reg: Any) -> Segment:
        s = ffi.new("struct vz_hv_segment *")
        _check(lib.vz_hv_vcpu_get_segment(self.c, reg, s))
        return Segment(s.base, s.limit, s.selector, s.access)

    def set_segment(self, reg: Any, segment: Segment) -> None:
        _check(lib.vz_hv_vcpu_set_segment(self.c, reg,
                                          ffi.new("struct vz_hv_segment *", segment._asdict())))

    def table(self, reg: Any) -> Tuple[int, int]:
        """(base, limit) of GDTR or IDTR."""
        base, limit = ffi.new("uint64_t *"), ffi.new("uint16_t *")
        _check(lib.vz_hv_vcpu_get_table(self.c, reg, base, limit))
        return int(base[0]), int(limit[0])

    def set_table(self, reg: Any, base: int, limit: int) -> None:
        _check(lib.vz_hv_vcpu_set_table(self.c, reg, base, limit))

    def msr(self, number: int) -> int:
        ret = ffi.new("uint64_t *")
        _check(lib.vz_hv_vcpu_get_msr(self.c, number, ret))
        return int(ret[0])

    def set_msr(self, number: int, value: int) -> None:
        _check(lib.vz_hv_vcpu_set_msr(self.c, number, value))

    def xsave(self) -> bytes:
        """x87, SSE and AVX state as XSAVE stores it."""
        area = ffi.new("char[]", lib.VZ_HV_XSAVE_SIZE)
        _check(lib.vz_hv_vcpu_get_xsave(self.c, area, len(area)))
        return bytes(ffi.buffer(area))

    def set_xsave(self, area: bytes) -> None:
        _check(lib.vz_hv_vcpu_set_xsave(self.c, area, len(area)))

    # ---- Interrupts, with irqchip=False --------------------------------------------------------

    def inject_interrupt(self, vector: int) -> None:
        _check(lib.vz_hv_vcpu_inject_interrupt(self.c, vector))

    def withdraw_interrupt(self) -> None:
        """Take a queued interrupt back."""
        _check(lib.vz_hv_vcpu_withdraw_interrupt(self.c))

    def request_interrupt_window(self, on: bool) -> None:
        """Ask for an INTERRUPT_WINDOW exit when an interrupt would be taken at once."""
        _check(lib.vz_hv_vcpu_request_interrupt_window(self.c, on))

    # ---- Exceptions, and what is kept between instructions -------------------------------------

    def inject_nmi(self) -> None:
        _check(lib.vz_hv_vcpu_inject_nmi(self.c))

    def inject_exception(self, vector: int, error: Optional[int] = None) -> None:
        _check(lib.vz_hv_vcpu_inject_exception(self.c, vector, error is not None, error or 0))

    def events(self) -> Dict[str, int]:
        """The members of struct vz_hv_events: sti_shadow, nmi_blocked, halted, ..."""
        c = ffi.new("struct vz_hv_events *")
        _check(lib.vz_hv_vcpu_get_events(self.c, c))
        return {name: getattr(c, name) for name, _ in ffi.typeof("struct vz_hv_events").fields
                if name != "reserved"}

    def set_events(self, **members: int) -> None:
        """Change these members of them; the others stay."""
        c = ffi.new("struct vz_hv_events *")
        _check(lib.vz_hv_vcpu_get_events(self.c, c))
        for name, value in members.items():
            setattr(c, name, value)
        _check(lib.vz_hv_vcpu_set_events(self.c, c))
