#!/usr/bin/env python3
"""A virtual machine on a machine with an NVIDIA GPU, with a build that was made elsewhere: boots the guest image under the
QEMU with vgpu-stub, runs every CUDA program of the image in it as an ordinary user, and prints what passed and the log of
vector_add's calls. Exits with 1 when a program fails, or the GPU is not a real one.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# It waits for commands.
LEFT_OUT = {"steps"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="folder with bin, guest and lib")
    parser.add_argument("--libs", type=Path, help="shared libraries of vgpud and QEMU (scripts/pack-host-libs)")
    parser.add_argument("--qemu", type=Path, default=ROOT / "build/qemu/qemu-system-x86_64")
    parser.add_argument("--firmware", type=Path, help="folder with QEMU's firmware, where it is not installed")
    parser.add_argument("--image", type=Path, default=ROOT / "build/guest-image")
    parser.add_argument("--gpu", default="0", help="as vgpud takes it")
    parser.add_argument("--out", type=Path, help="where vgpud's log goes")
    return parser.parse_args()


def wrapper(path, program, libs, *options):
    """A script that runs the program with its libraries, which guests and CUDA's own programs must not see."""
    path.parent.mkdir(parents=True, exist_ok=True)
    library_path = f"LD_LIBRARY_PATH={libs.resolve()}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}} " if libs else ""
    path.write_text(f"#!/bin/sh\n{library_path}exec {program.resolve()} {' '.join(map(str, options))} \"$@\"\n")
    path.chmod(0o755)
    return path


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="vgpu-gpu-vm-") as work:
        work = Path(work)
        wrapper(work / "build/bin/vgpud", options.build / "bin/vgpud", options.libs)
        firmware = ["-L", options.firmware.resolve()] if options.firmware else []
        qemu = wrapper(work / "qemu", options.qemu, options.libs, *firmware)
        os.environ.update(VGPU_BUILD=str(work / "build"), VGPU_QEMU=str(qemu), VGPU_GUEST_IMAGE=str(options.image),
                          VGPU_TEST_GPU=options.gpu, VGPU_TEST_LOG_LEVEL="debug")
        sys.path.append(str(ROOT / "tests/vm"))
        import vms

        host = vms.Host("vgpu-stub")
        failed = []
        try:
            begin = time.monotonic()
            guest = host.boot(111)
            print(f"guest booted in {time.monotonic() - begin:.1f} s: {guest.check('uname -srm').strip()}")
            print(guest.check("ls -l /dev/vgpu0; ls /dev | grep -c nvidia || true"), end="")
            names = sorted(name for name in guest.check("ls /programs").split() if name.split(".")[0] not in LEFT_OUT)
            for name in names:
                begin = time.monotonic()
                status, output = guest.run(f"/programs/{name}", timeout=vms.PROGRAM_SECONDS, user="tenant")
                lines = output.strip().splitlines() or [""]
                print(f"{'ok    ' if status == 0 else 'FAILED'} {time.monotonic() - begin:6.2f} s  {lines[-1]}")
                if status != 0:
                    failed.append(name)
                    print(output)
            host.wait_idle()
            metrics = host.daemon.metrics()
            for name in ("vgpu_calls_processed_total", "vgpu_kernels_launched_total", "vgpu_doorbells_total"):
                print(name, {vm: int(metrics.value(name, vm=vm)) for vm in vms.POOLS})
            log = host.daemon.log()
            lines = log.splitlines()
            if any("gpu=software" in line for line in lines):
                failed.append("the GPU is not a real one")
            opened = [line for line in lines if 'msg="session opened"' in line and "process=vector_add" in line]
            for line in lines:
                if opened and f" {session_of(opened[0])} " in line + " ":
                    print(line)
            if options.out:
                options.out.mkdir(parents=True, exist_ok=True)
                (options.out / "vgpud.log").write_text(log)
            guest.kill()
        finally:
            host.close()
    if failed:
        print("failed:", ", ".join(failed))
    return 1 if failed else 0


def session_of(line):
    return next(word for word in line.split() if word.startswith("session="))


if __name__ == "__main__":
    sys.exit(main())
