"""A machine whose EFI firmware starts the kernel, as most real ones do.

QEMU with OVMF instead of the lab's stub: the kernel is entered by its own EFI stub, and
its table of memory is made of what the firmware says. Deposits come later, at run time.
"""

from contextlib import ExitStack, contextmanager
from pathlib import Path

from e820pool.lab.qemu import find_qemu
from e820pool.lab.started_vm import ConsoleFile, StartedVm, _pair, _process

OVMF = Path("/usr/share/ovmf/OVMF.fd")


@contextmanager
def efi_machine(folder, ram, image, initrd, cmdline, *, cpu):
    """Start a machine; its guest reports at once, there is no stub that waits."""
    kernel, disk = folder / "vmlinuz", folder / "initrd"
    kernel.write_bytes(image)
    disk.write_bytes(initrd)
    size = f"{ram.layout.total_bytes}B"
    backend = f"memory-backend-file,id=ram,size={size},share=on"
    backend += f",mem-path=/proc/self/fd/{ram.fileno}"
    with ExitStack() as stack:
        near, far = _pair(stack)
        console = ConsoleFile()
        stack.callback(console.close)
        argv = [
            *(find_qemu(), "-machine", "pc,memory-backend=ram", "-accel", "tcg"),
            *("-cpu", cpu, "-bios", OVMF, "-m", f"size={size}", "-object", backend),
            *("-nodefaults", "-display", "none", "-no-reboot"),
            *("-kernel", kernel, "-initrd", disk, "-append", cmdline),
            *("-chardev", f"file,path=/proc/self/fd/{console.fileno},id=console"),
            *("-serial", "chardev:console"),
            *("-chardev", f"socket,fd={far.fileno()},id=report"),
            *("-serial", "chardev:report"),
        ]
        fds = [ram.fileno, console.fileno, far.fileno()]
        process = stack.enter_context(_process(list(map(str, argv)), fds))
        far.close()
        yield StartedVm(process=process, console=console, report=near)
