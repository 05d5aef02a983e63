#!/usr/bin/env python3
"""Asks a real libcuda what cuGetProcAddress answers, and writes it down as test data.

For every base name, per-thread flag and version from 1000 to the driver's own, the answer is compared with the
addresses of the exported names; a line is written only where the answer changes:
    NAME fFLAG VERSION SYMBOL          (SYMBOL "-1" / "-2": not found, with that status)
Before these lines come the library's exported names ("export NAME"), and its answers to unusual arguments ("odd ...").
Run it on a machine with a GPU; it needs no context, and changes nothing.
"""
import ctypes
import os
import re
import struct
import sys


def exported_names(path):
    """Names of the defined dynamic symbols that begin with "cu", in the ELF64 file at path."""
    data = open(path, "rb").read()
    shoff, = struct.unpack_from("<Q", data, 40)
    shentsize, shnum = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, shoff + i * shentsize) for i in range(shnum)]
    names = set()
    for section in sections:
        if section[1] != 11:  # SHT_DYNSYM
            continue
        strings = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], 24):
            name, _, _, index, _, _ = struct.unpack_from("<IBBHQQ", data, at)
            if index:
                names.add(data[strings + name:data.index(b"\0", strings + name)].decode())
    return sorted(n for n in names if re.match(r"cu[A-Z]", n))


def main():
    lib = ctypes.CDLL("libcuda.so.1")
    path = next(l.split()[-1] for l in open("/proc/self/maps") if "libcuda.so" in l)
    names = exported_names(os.path.realpath(path))
    by_address = {}
    for name in names:
        address = ctypes.cast(getattr(lib, name), ctypes.c_void_p).value
        by_address.setdefault(address, []).append(name)
        print("export", name, "=" + by_address[address][0] if len(by_address[address]) > 1 else "")
    version = ctypes.c_int()
    lib.cuDriverGetVersion(ctypes.byref(version))
    print("# driver version", version.value, os.path.basename(os.path.realpath(path)))

    def ask2(symbol, asked, flags, status=True):
        pointer, found = ctypes.c_void_p(0x77), ctypes.c_int(-77)
        rc = lib.cuGetProcAddress_v2(symbol, ctypes.byref(pointer), ctypes.c_int(asked),
                                     ctypes.c_uint64(flags), ctypes.byref(found) if status else None)
        return rc, pointer.value, found.value

    def ask1(symbol, asked, flags):
        pointer = ctypes.c_void_p(0x77)
        rc = lib.cuGetProcAddress(symbol, ctypes.byref(pointer), ctypes.c_int(asked), ctypes.c_uint64(flags))
        return rc, pointer.value

    def shown(address):
        return "|".join(by_address.get(address, [hex(address) if address else "null"]))

    for symbol in (b"cuInit", b"cuMemcpy", b"cuMemAlloc", b"cuMemAlloc_v2", b"cuMemcpy_ptds", b"cuNoSuch", b"",
                   b"cuMemGetDefaultMemPool", b"cuCtxCreate_v2", b"cuGetProcAddress", b"cuGetProcAddress_v2", b"cuGetExportTable"):
        for asked in (-1, 0, 1000, 1999, 2000, 7000, 11030, 12000, 13000, version.value, version.value + 1,
                      version.value + 10, 99999):
            for flags in (0, 1, 2, 3, 4, 8, 1 << 40):
                a, b = ask2(symbol, asked, flags), ask1(symbol, asked, flags)
                print("odd", symbol, asked, flags, "v2", a[0], shown(a[1]), a[2], "v1", b[0], shown(b[1]))
    print("odd no status", ask2(b"cuInit", 12000, 0, status=False), ask2(b"cuNoSuch", 12000, 0, status=False))
    # A null symbol or a null result pointer makes the real function crash, so neither is asked.

    bases = set()
    for name in names:
        name = re.sub(r"_pt(sz|ds)$", "", name)
        bases.update((name, re.sub(r"_v\d+$", "", name)))
    for base in sorted(bases):
        symbol = base.encode()
        for flags in (0, 1, 2):
            last = None
            for asked in list(range(1000, version.value + 1, 10)):
                rc, address, status = ask2(symbol, asked, flags)
                answer = str(rc) if rc else shown(address) if address else f"-{status}"
                if answer != last:
                    print(f"{base} f{flags} {asked} {answer}")
                    last = answer


if __name__ == "__main__":
    sys.exit(main())
