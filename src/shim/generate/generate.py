#!/usr/bin/env python3
"""Writes the sources that surround the forwarded calls, from the headers of a CUDA toolkit.

generate.py names   --include DIR --compiler CC --out DIR    cuda_names.cpp
generate.py exports --include DIR --compiler CC --out DIR    refusals.cpp per_thread_wrappers.cpp entry_points.cpp
                                                             exports.map
"""
import argparse
import os
import sys

from headers import PER_THREAD_SUFFIX, Headers, arguments
from table_names import TABLE_NAMES

NOTICE = "// Written by src/shim/generate/generate.py from the CUDA toolkit's headers.\n"


def write(directory, name, text):
    """Leaves an unchanged file alone, so that nothing is compiled again for it."""
    path = os.path.join(directory, name)
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                os.utime(path)
                return
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def cuda_names(headers):
    lines = "".join(f'    "{name}",\n' for name in headers.names + TABLE_NAMES)
    return (NOTICE + '#include "common/cuda_names.hpp"\n\n#include "common/cuda_names_data.hpp"\n\n'
            "namespace vgpu::detail {\n"
            f"static constexpr std::string_view kNames[] = {{\n{lines}}};\n"
            'static_assert(std::size(kNames) <= kMaxCudaNames, "raise kMaxCudaNames");\n'
            f"const CudaNameTable kCudaNameTable{{kNames, {len(headers.names)}}};\n"
            "}  // namespace vgpu::detail\n")


def refusals(headers):
    # The function's own identifier is not the exported name, because cuda.h declares that name with other parameters.
    out = [NOTICE, '#include "shim/exports/refuse.hpp"\n\n#define VGPU_REFUSAL(index, name) \\\n'
           '  extern "C" [[gnu::weak, gnu::visibility("default")]] \\\n'
           '  CUresult vgpu_refusal_##index() noexcept __asm__(name); \\\n'
           "  CUresult vgpu_refusal_##index() noexcept { return vgpu::shim::refuse(index); }\n\n"]
    for index, name in enumerate(headers.names):
        if not PER_THREAD_SUFFIX.search(name):
            out.append(f'VGPU_REFUSAL({index}, "{name}")\n')
    return "".join(out)


def wrappers(headers):
    out = [NOTICE, '#include <cuda.h>\n\n#include "shim/exports/per_thread.hpp"\n\n'
           'using vgpu::shim::PerThreadDefaultStream;\n\nextern "C" {\n']
    for name in headers.names:
        if not PER_THREAD_SUFFIX.search(name):
            continue
        base = PER_THREAD_SUFFIX.sub("", name)
        parameters = headers.prototypes.get(base)
        if parameters is None:
            # OpenGL's only type here is GLuint; it is an unsigned int on every platform.
            parameters = headers.interop[base].replace("GLuint", "unsigned int")
            out.append(f"CUresult {base}({parameters});\n")
        out.append(f'[[gnu::weak, gnu::visibility("default")]] CUresult {name}({parameters}) {{\n'
                   f"  const PerThreadDefaultStream guard;\n  return {base}({', '.join(arguments(parameters))});\n}}\n")
    return "".join(out) + "}\n"


def entry_points(headers):
    # As in refusals: an identifier of its own for each exported name, free of cuda.h's prototypes.
    out = [NOTICE, '#include "shim/exports/entry_points.hpp"\n\n#include <iterator>\n\n'
           '#define VGPU_ENTRY(index, name) extern "C" void vgpu_entry_##index() __asm__(name)\n\n']
    index_of = {name: index for index, name in enumerate(headers.names)}
    forms, names = [], []
    for base in sorted({base for base, _ in headers.versions}):
        default, per_thread = headers.entry_points(base, False), headers.entry_points(base, True)
        if not default:
            continue
        names.append(f'    {{"{base}", {len(forms)}, {len(default)}, {len(per_thread)}}},\n')
        forms += default + per_thread
    out += [f'VGPU_ENTRY({index_of[name]}, "{name}");\n' for name in sorted({name for _, name in forms})]
    out += ["\nnamespace vgpu::shim {\nstatic constexpr EntryPoint kForms[] = {\n"]
    out += [f"    {{{since}, &vgpu_entry_{index_of[name]}}},  // {name}\n" for since, name in forms]
    out += ["};\nstatic constexpr EntryName kEntryNames[] = {\n", *names, "};\n"
            "std::span<const EntryPoint> entry_points() noexcept { return kForms; }\n"
            "std::span<const EntryName> entry_names() noexcept { return kEntryNames; }\n}  // namespace vgpu::shim\n"]
    return "".join(out)


def export_map(headers):
    return "{\n  global:\n" + "".join(f"    {name};\n" for name in headers.names) + "  local:\n    *;\n};\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("names", "exports"))
    parser.add_argument("--include", required=True, help="the toolkit's include directory")
    parser.add_argument("--compiler", required=True, help="a C compiler with -E")
    parser.add_argument("--out", required=True, help="directory for the sources")
    options = parser.parse_args()
    headers = Headers(options.include, options.compiler)
    if len(headers.names) < 400 or not headers.versions:
        raise SystemExit(f"{options.include}: not the headers of a CUDA toolkit ({len(headers.names)} functions)")
    if options.what == "names":
        write(options.out, "cuda_names.cpp", cuda_names(headers))
    else:
        write(options.out, "refusals.cpp", refusals(headers))
        write(options.out, "per_thread_wrappers.cpp", wrappers(headers))
        write(options.out, "entry_points.cpp", entry_points(headers))
        write(options.out, "exports.map", export_map(headers))


if __name__ == "__main__":
    sys.exit(main())
