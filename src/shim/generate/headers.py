"""Reads the CUDA toolkit's headers: what a libcuda exports, the prototypes, and since when each form exists."""
import collections
import os
import re
import subprocess
import sys

PER_THREAD_SUFFIX = re.compile(r"_pt(?:sz|ds)$")

# cuda.h and cudaProfiler.h are preprocessed: their macros decide the names. The others need headers of OpenGL, EGL and
# VDPAU that a build machine may lack, so their text is read instead.
PREPROCESSED = ("cuda.h", "cudaProfiler.h")
INTEROP = ("cudaGL", "cudaEGL", "cudaVDPAU")
TYPEDEFS = ("cuda", "cudaProfiler") + INTEROP

# Declared, but absent from a libcuda for x86-64 Linux (measured on driver 580.159.04): Windows only, Tegra only.
OTHER_PLATFORMS = {"cuWGLGetDevice", "cuEventCreateFromEGLSync"}

# Exported by libcuda (measured on driver 580.159.04) though no header declares them.
UNDECLARED = {"cuEGLApiInit", "cuMemGetAttribute", "cuMemGetAttribute_v2"}


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
    prototypes: name -> parameter list as cuda.h and cudaProfiler.h write it
    interop:    name -> the same for the headers of OpenGL, EGL and VDPAU, as far as they declare that very name
    versions:   (base name, per thread?) -> sorted CUDA versions at which a new form of the function appeared
    """

    def __init__(self, include, compiler):
        self.include = include
        self.prototypes = self._prototypes(compiler)
        self.interop = {}
        interop_names = self._interop_names()
        self.names = sorted((set(self.prototypes) | interop_names | UNDECLARED) - OTHER_PLATFORMS)
        self.versions = self._versions()
        self._known = set(self.names)

    def _prototypes(self, compiler):
        """Prototypes of all forms: the macro makes cuda.h declare the old and the per-thread ones too."""
        source = "#define __CUDA_API_VERSION_INTERNAL\n" + "".join(f"#include <{name}>\n" for name in PREPROCESSED)
        done = subprocess.run([compiler, "-E", "-P", "-I", self.include, "-x", "c", "-"], input=source, text=True,
                              check=True, stdout=subprocess.PIPE)
        found = re.findall(r"\bCUresult\s+(cu[A-Z]\w*)\s*\(([^;{}]*)\)\s*;", done.stdout)
        return {name: " ".join(parameters.split()) for name, parameters in found}

    def _interop_names(self):
        names = set()
        for header in INTEROP:
            text = read(self.include, header + ".h")
            for name, parameters in re.findall(r"\bCUresult\s+CUDAAPI\s+(cu[A-Z]\w*)\s*\(([^;{}]*)\)\s*;", text):
                self.interop[name] = " ".join(parameters.split())
                names.add(name)
            for form, target in re.findall(r"#define\s+(cu[A-Z]\w*)\s+(\S+)", text):
                wrapped = re.fullmatch(r"__CUDA_API_PT(DS|SZ)\((\w+)\)", target)
                if wrapped:
                    names |= {wrapped[2], f"{wrapped[2]}_pt{wrapped[1].lower()}"}
                elif form in names:
                    names.add(target)
        return names

    def _versions(self):
        found = collections.defaultdict(set)
        for header in TYPEDEFS:
            text = read(self.include, header + "Typedefs.h")
            for name, version, suffix in re.findall(r"\*\s*PFN_(cu[A-Z]\w*?)_v(\d+)(_ptds|_ptsz)?\s*\)", text):
                if name not in OTHER_PLATFORMS:
                    found[name, bool(suffix)].add(int(version))
        return {key: sorted(versions) for key, versions in found.items()}

    def per_thread(self, name):
        """The per-thread variant of an exported form, or None."""
        return next((name + suffix for suffix in ("_ptsz", "_ptds") if name + suffix in self._known), None)

    def entry_points(self, base, per_thread):
        """[(since version, exported name)], oldest first, that cuGetProcAddress knows for a base name.

        The forms of a function are base, base_v2, base_v3 …; the typedefs tell the versions at which its forms appeared.
        Where there are more forms than versions, the oldest forms can't be asked for, so both lists are paired from
        their ends. The answers of driver 580.159.04 to all names, flags and versions agree with this without exception
        (tests/unit/shim_exports/entry_points.txt).
        """
        forms = [form for form in [base] + [f"{base}_v{k}" for k in range(2, 10)] if form in self._known]
        if per_thread:
            forms = [variant for variant in map(self.per_thread, forms) if variant]
        versions = self.versions.get((base, per_thread), [])
        paired = min(len(versions), len(forms))
        if paired < len(versions):
            print(f"warning: {base}: the typedefs have versions {versions}, the headers only {forms}", file=sys.stderr)
        return list(zip(versions[len(versions) - paired:], forms[len(forms) - paired:]))


def arguments(parameters):
    """Names of the parameters in a parameter list of cuda.h."""
    if parameters in ("", "void"):
        return []
    return [re.search(r"(\w+)\s*(?:\[\w*\])?$", parameter.strip())[1] for parameter in parameters.split(",")]
