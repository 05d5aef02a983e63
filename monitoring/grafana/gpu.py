"""The dashboard "vgpu: GPU health": what NVML says of the GPUs."""

from board import RED, YELLOW, dashboard, panel, query, row, variable

GPU = variable("gpu", "GPU", 'label_values(vgpu_gpu_info{instance=~"$instance"}, uuid)')
HERE = 'instance=~"$instance"'
OF = f'{HERE}, uuid=~"$gpu"'
NAME = "{{uuid}}"


def sensor(title, unit, description, *queries, **more):
    return panel(title, unit, [query(f"{metric}{{{OF}}}", f"{legend} {NAME}".strip()) for metric, legend in queries],
                 description, **more)


STATE = row(
    "State",
    panel("Healthy", "yes/no", [query(f"vgpu_gpu_healthy{{{OF}}}", NAME)],
          "No: the GPU was lost or met a fatal Xid. It gets no work until it was looked after and vgpud was reloaded.",
          kind="stat", width=6, height=6),
    panel("GPUs", "number", f"max by (instance, uuid, name, pci_bus_id, index, driver_version) (vgpu_gpu_info{{{OF}}})",
          "uuid is what NVIDIA's own exporter calls them, too.", kind="table", width=12, height=6),
    panel("Pools on it", "number", f"max by (instance, pool, uuid) (vgpu_pool_gpu_info{{{OF}}})",
          "Pools whose sessions may be placed on the GPU.", kind="table", width=6, height=6),
)

SENSORS = row(
    "Sensors",
    sensor("Temperature", "celsius", "Above 85 °C GPUs begin to slow down: the alert VgpuGpuHot.",
           ("vgpu_gpu_temperature_celsius", ""), thresholds=[(75, YELLOW), (85, RED)]),
    sensor("Power", "watts", "At its limit the GPU lowers its clocks.", ("vgpu_gpu_power_watts", "drawn"),
           ("vgpu_gpu_power_limit_watts", "limit")),
    sensor("Clock of the multiprocessors", "hertz", "Far below its highest while the GPU works: too hot, or at its power limit.",
           ("vgpu_gpu_sm_clock_hertz", "now"), ("vgpu_gpu_sm_clock_max_hertz", "highest")),
    sensor("Clock of the memory", "hertz", "Lower while the GPU rests.", ("vgpu_gpu_memory_clock_hertz", "now"),
           ("vgpu_gpu_memory_clock_max_hertz", "highest")),
    sensor("Use", "ratio", "Part of the time in which a kernel ran, and in which memory was read or written, by everybody on "
           "the host.", ("vgpu_gpu_utilization_ratio", "kernels"), ("vgpu_gpu_memory_utilization_ratio", "memory"), maximum=1),
    sensor("Memory", "bytes", "In use by everybody on the host, also past vgpud.", ("vgpu_gpu_memory_used_bytes", "used"),
           ("vgpu_gpu_memory_total_bytes", "all")),
)

ERRORS = row(
    "Errors",
    panel("ECC errors", "number",
          [query(f"sum by (instance, uuid, kind) (vgpu_gpu_ecc_errors_total{{{OF}}})", f"{{{{kind}}}} {NAME}")],
          "Since the driver was loaded. Corrected ones harm nobody; after uncorrected ones results may be wrong.", width=12),
    panel("Xid errors", "number", [query(f"sum by (instance, uuid, xid) (vgpu_gpu_xid_errors_total{{{OF}}})",
                                         f"Xid {{{{xid}}}} {NAME}")],
          "Since vgpud was started. 13, 31, 43, 45, 94: a program's own mistake; others: NVIDIA's list of Xid errors.", width=12),
)

BOARD = dashboard("vgpu-gpu", "vgpu: GPU health", "What NVML says of the GPUs.", [GPU], [STATE, SENSORS, ERRORS])
