"""Reads the CUDA toolkit's headers: which functions a libcuda exports, their prototypes, and since when each form exists."""
import collections
import os
import re
import subprocess

PER_THREAD_SUFFIX = re.compile(r"_pt(?:sz|ds)$")

# cuda.h and cudaProfiler.h are preprocessed: their macros decide the names. The others need headers of OpenGL, EGL and
# VDPAU that a build machine may lack, so their text is read instead.
PREPROCESSED = ("cuda.h", "cudaProfiler.h")
INTEROP = ("cudaGL", "cudaEGL", "cudaVDPAU")
TYPEDEFS = ("cuda", "cudaProfiler") + INTEROP

# Declared for Windows only, absent from a libcuda for Linux.
WINDOWS_ONLY = {"cuWGLGetDevice"}


def without_comments(text):
    return re.sub(r"//[^\n]*", "", re.sub(r"/\*.*?\*/", " ", text, flags=re.S))


def read(include, name):
    path = os.path.join(include, name)
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return without_comments(file.read())


class Headers:
    """What the headers in a toolkit's include directory say.

    names:      every exported name, sorted
    prototypes: name -> parameter list as written, for the names of PREPROCESSED headers
    versions:   (base name, per thread?) -> sorted CUDA versions at which a new form of the function appeared
    """

    def __init__(self, include, compiler):
        self.include = include
        self.prototypes = self._prototypes(compiler)
        self.versions = self._versions()
        self.names = sorted(set(self.prototypes) | self._interop_names())

    def _prototypes(self, compiler):
        """Prototypes of all forms, old and per-thread ones too, which __CUDA_API_VERSION_INTERNAL makes cuda.h declare."""
        found = {}
        source = "#define __CUDA_API_VERSION_INTERNAL\n" + "".join(f"#include <{name}>\n" for name in PREPROCESSED)
        # The linker functions (cuLink*) are only declared where this macro, which cuda.h's users set by including it
        # from the runtime, is absent; the plain reading of cuda.h adds them.
        for text in (source, source.split("\n", 1)[1]):
            done = subprocess.run([compiler, "-E", "-P", "-I", self.include, "-x", "c", "-"], input=text, text=True,
                                  check=True, stdout=subprocess.PIPE)
            for match in re.finditer(r"\bCUresult\s+(cu[A-Z]\w*)\s*\(([^;{}]*)\)\s*;", done.stdout):
                found.setdefault(match[1], " ".join(match[2].split()))
        return found

    def _interop_names(self):
        names = set()
        for header in INTEROP:
            text = read(self.include, header + ".h")
            declared = set(re.findall(r"\bCUresult\s+CUDAAPI\s+(cu[A-Z]\w*)\s*\(", text)) - WINDOWS_ONLY
            names |= declared
            for form, target in re.findall(r"#define\s+(cu[A-Z]\w*)\s+(\S+)", text):
                wrapped = re.fullmatch(r"__CUDA_API_PT(DS|SZ)\((\w+)\)", target)
                if wrapped:
                    names |= {wrapped[2], f"{wrapped[2]}_pt{wrapped[1].lower()}"}
                elif form in declared:
                    names.add(target)
        return names

    def _versions(self):
        found = collections.defaultdict(set)
        for header in TYPEDEFS:
            text = read(self.include, header + "Typedefs.h")
            for name, version, suffix in re.findall(r"\*\s*PFN_(cu[A-Z]\w*?)_v(\d+)(_ptds|_ptsz)?\s*\)", text):
                if name not in WINDOWS_ONLY:
                    found[name, bool(suffix)].add(int(version))
        return {key: sorted(versions) for key, versions in found.items()}

    def forms(self, base):
        """The exported forms of a base name, oldest first: base, base_v2, base_v3 … (without per-thread variants)."""
        known = set(self.names)
        return [form for form in [base] + [f"{base}_v{k}" for k in range(2, 10)] if form in known]

    def per_thread(self, name):
        """The per-thread variant of an exported form, or None."""
        known = set(self.names)
        return next((name + suffix for suffix in ("_ptsz", "_ptds") if name + suffix in known), None)


def arguments(parameters):
    """Names of the parameters in a parameter list of cuda.h."""
    if parameters in ("", "void"):
        return []
    return [re.search(r"(\w+)\s*(?:\[\w*\])?$", parameter.strip())[1] for parameter in parameters.split(",")]
