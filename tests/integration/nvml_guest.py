"""A guest of NVML and CUDA: asks what torch, pynvml, llama.cpp and Ollama ask at their start, in their order, and prints what
it was told as one line of JSON.

    nvml_guest.py torch|pynvml|llama|ollama
    nvml_guest.py watch    asks NVML for its first GPU's used memory once for each line of standard input
"""

import ctypes
import json
import sys
from ctypes import byref

NVML_ERROR_INSUFFICIENT_SIZE = 7


class Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class MemoryV2(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint)] + [(name, ctypes.c_ulonglong)
                                               for name in ("total", "reserved", "free", "used")]


class Pci(ctypes.Structure):
    _fields_ = [("legacy", ctypes.c_char * 16)] + [(name, ctypes.c_uint) for name in (
        "domain", "bus", "device", "id", "subsystem")] + [("bus_id", ctypes.c_char * 32)]


class Process(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong), ("gpu_instance", ctypes.c_uint),
                ("compute_instance", ctypes.c_uint)]


class Library:
    """A library whose calls return 0, or end the program by saying what they returned."""

    def __init__(self, name):
        self.library = ctypes.CDLL(name)

    def __getattr__(self, name):
        def call(*arguments):
            result = getattr(self.library, name)(*arguments)
            if result != 0:
                sys.exit(f"{name}: {result}")
        return call


def number(call, *arguments, kind=ctypes.c_int):
    out = kind()
    call(byref(out), *arguments)
    return out.value


def handle(call, *arguments):
    out = ctypes.c_void_p()
    call(*arguments, byref(out))
    return out


def text(call, *arguments):
    out = ctypes.create_string_buffer(96)
    call(*arguments, out, len(out))
    return out.value.decode()


def memory_of(nvml, gpu):
    memory = Memory()
    nvml.nvmlDeviceGetMemoryInfo(gpu, byref(memory))
    return {"total": memory.total, "free": memory.free, "used": memory.used}


def look_at_cuda():
    """What every one of them asks of the driver."""
    cuda = Library("libcuda.so.1")
    cuda.cuInit(0)
    seen = {"version": number(cuda.cuDriverGetVersion), "devices": []}
    for ordinal in range(number(cuda.cuDeviceGetCount)):
        device = number(cuda.cuDeviceGet, ordinal)
        uuid, context = ctypes.create_string_buffer(16), ctypes.c_void_p()
        name, pci = ctypes.create_string_buffer(256), ctypes.create_string_buffer(64)
        cuda.cuDeviceGetUuid_v2(uuid, device)
        cuda.cuDeviceGetName(name, len(name), device)
        cuda.cuDeviceGetPCIBusId(pci, len(pci), device)
        cuda.cuDevicePrimaryCtxRetain(byref(context), device)
        cuda.cuCtxSetCurrent(context)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        cuda.cuMemGetInfo_v2(byref(free), byref(total))
        digits = uuid.raw.hex()
        seen["devices"].append({
            "uuid": "GPU-" + "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])),
            "name": name.value.decode(), "pci": pci.value.decode(),
            "capability": [number(cuda.cuDeviceGetAttribute, attribute, device) for attribute in (75, 76)],
            "integrated": number(cuda.cuDeviceGetAttribute, 18, device),
            "device_total": number(cuda.cuDeviceTotalMem_v2, device, kind=ctypes.c_size_t),
            "total": total.value, "free": free.value})
    return seen


def describe(nvml, gpu):
    pci, major, minor = Pci(), ctypes.c_int(), ctypes.c_int()
    nvml.nvmlDeviceGetPciInfo_v3(gpu, byref(pci))
    nvml.nvmlDeviceGetCudaComputeCapability(gpu, byref(major), byref(minor))
    return {"uuid": text(nvml.nvmlDeviceGetUUID, gpu), "name": text(nvml.nvmlDeviceGetName, gpu),
            "pci": pci.legacy.decode(), "capability": [major.value, minor.value], **memory_of(nvml, gpu)}


def torch(nvml):
    """torch.cuda counts by NVML before it may fork, and finds CUDA_VISIBLE_DEVICES by UUID."""
    nvml.nvmlInit()
    gpus = []
    for index in range(number(nvml.nvmlDeviceGetCount_v2, kind=ctypes.c_uint)):
        gpu = handle(lambda out, at=index: nvml.nvmlDeviceGetHandleByIndex_v2(at, out))
        gpus.append(describe(nvml, gpu))
    return {"gpus": gpus, "cuda": look_at_cuda()}


def pynvml(nvml):
    nvml.nvmlInitWithFlags(0)
    seen = {"driver": text(nvml.nvmlSystemGetDriverVersion), "version": number(nvml.nvmlSystemGetCudaDriverVersion_v2),
            "gpus": []}
    for index in range(number(nvml.nvmlDeviceGetCount_v2, kind=ctypes.c_uint)):
        gpu = handle(lambda out, at=index: nvml.nvmlDeviceGetHandleByIndex_v2(at, out))
        memory = MemoryV2(version=ctypes.sizeof(MemoryV2) | 2 << 24)
        nvml.nvmlDeviceGetMemoryInfo_v2(gpu, byref(memory))
        count = ctypes.c_uint(0)
        result = nvml.library.nvmlDeviceGetComputeRunningProcesses_v3(gpu, byref(count), None)
        processes = (Process * (count.value * 2 + 5))()
        if result == NVML_ERROR_INSUFFICIENT_SIZE:
            count.value = len(processes)
            nvml.nvmlDeviceGetComputeRunningProcesses_v3(gpu, byref(count), processes)
        seen["gpus"].append({**describe(nvml, gpu), "used_v2": memory.used,
                             "processes": [[each.pid, each.used] for each in processes[:count.value]]})
    nvml.nvmlShutdown()
    return seen


def llama(nvml):
    """llama.cpp has CUDA's devices and finds NVML's by their PCI ids."""
    cuda = look_at_cuda()
    nvml.nvmlInit_v2()
    gpus = []
    for device in cuda["devices"]:
        gpu = handle(lambda out, pci=device["pci"]: nvml.nvmlDeviceGetHandleByPciBusId_v2(pci.encode(), out))
        gpus.append(describe(nvml, gpu))
    return {"gpus": gpus, "cuda": cuda}


def ollama(nvml):
    """Ollama asks NVML for the driver and, by UUID, for the memory of each of CUDA's devices."""
    nvml.nvmlInit_v2()
    driver = text(nvml.nvmlSystemGetDriverVersion)
    cuda = look_at_cuda()
    gpus = []
    for device in cuda["devices"]:
        gpu = handle(lambda out, uuid=device["uuid"]: nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), out))
        gpus.append(describe(nvml, gpu))
    return {"driver": driver, "gpus": gpus, "cuda": cuda}


def watch(nvml):
    nvml.nvmlInit_v2()
    gpu = handle(lambda out: nvml.nvmlDeviceGetHandleByIndex_v2(0, out))
    for _ in sys.stdin:
        memory = Memory()
        result = nvml.library.nvmlDeviceGetMemoryInfo(gpu, byref(memory))
        print(f"ok {memory.used}" if result == 0 else f"error {result}", flush=True)


def main():
    sequences = {sequence.__name__: sequence for sequence in (torch, pynvml, llama, ollama, watch)}
    told = sequences[sys.argv[1]](Library("libnvidia-ml.so.1"))
    if told is not None:
        print(json.dumps(told))


if __name__ == "__main__":
    main()
