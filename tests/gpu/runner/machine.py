"""What the machine is, for the table's head."""

import importlib.metadata
import os
import platform
import subprocess

PACKAGES = ["torch", "triton", "transformers", "jax", "jaxlib", "cupy-cuda13x", "cupy-cuda12x", "numba", "numba-cuda",
            "numpy"]


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def versions():
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def describe():
    """Lines of text: GPU and driver, machine, toolkit, packages."""
    gpu = output_of("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    lines = [f"GPU: {row}" for row in dict.fromkeys(gpu.splitlines())] or ["GPU: no nvidia-smi here"]
    lines.append(f"machine: {platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores")
    release = output_of("nvcc", "--version").splitlines()
    lines += [f"nvcc: {line.strip()}" for line in release if "release" in line]
    lines.append(f"Python {platform.python_version()}" + "".join(f", {text}" for text in versions()))
    return lines
