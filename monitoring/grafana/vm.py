"""The dashboard "vgpu: one VM": what it does and has, and why it is slow."""

from board import RED, YELLOW, dashboard, panel, query, row, text, variable

VM = variable("vm", "VM", 'label_values(vgpu_vm_info{instance=~"$instance"}, vm)', many=False)
HERE = 'instance=~"$instance"'
OF = f'{HERE}, vm=~"$vm"'
RATE = "[$__rate_interval]"
# Pools in which the VM has sessions, or had.
ITS_POOLS = f'sum by (instance, pool) (vgpu_sessions{{{OF}}})'


def per_second(metric, by="instance"):
    return f"sum by ({by}) (rate({metric}{{{OF}}}{RATE}))"


IDENTITY = row(
    "VM $vm",
    panel("What it is", "number",
          f"max by (instance, vm, name, domain, uuid, pool, priority, weight) (vgpu_vm_info{{{OF}}})",
          "As vgpud's configuration has it. domain is the name that libvirt's exporters use.", kind="table", width=12,
          height=4),
    panel("Connected", "yes/no", f"max(vgpu_vm_connected{{{OF}}})",
          "Whether the VM's QEMU is connected. Processes of the host that only claim to be the VM have none.", kind="stat",
          width=3, height=4),
    panel("Quarantined", "yes/no", f"max(vgpu_vm_quarantined{{{OF}}})",
          "Yes: it gets no session because of its faults, until an operator lifts that.", kind="stat", width=3, height=4,
          thresholds=[(1, RED)]),
    panel("Sessions", "number", f"sum(vgpu_sessions{{{OF}}})", "Its processes that use the GPU.", kind="stat", width=3,
          height=4),
    panel("Faults, 1 h", "number", f"round(sum(increase(vgpu_faults_total{{{OF}}}[1h])))", "Sessions that ended by a fault.",
          kind="stat", width=3, height=4, thresholds=[(1, YELLOW), (10, RED)]),
)

SLOW = row(
    "Why is this VM slow?",
    text("How to read this row", """
**Waits are long, others have the GPU**: neighbours use their share; see weight and priority. **Waits are long, nobody has the GPU**: \
call who looks after vgpud. **Slowed down**: its `calls_per_second`. **Limits met**: programs got out-of-memory errors and may do \
their work in smaller pieces. **Faults**: programs start anew. **Copies near what the bus carries, few kernels**: the program feeds \
the GPU too slowly or in pieces too small. **Most calls are synchronous**: the program waits for each answer, and each costs a \
round trip. **Ring full**: the program is faster than the GPU, which is as it should be. **None of it**: the program works on \
its own processors, look there.
"""),
    panel("Waits for the GPU", "seconds", [
        query(f"histogram_quantile(0.5, sum by (le) (rate(vgpu_lease_wait_seconds_bucket{{{OF}}}{RATE})))", "half are below"),
        query(f"instance_vm_pool:vgpu_lease_wait_seconds:p99_rate5m{{{OF}}}", "99 of 100 are below, pool {{pool}}"),
        query(f"instance_vm_pool:vgpu_lease_wait_bound_seconds:max{{{OF}}}", "explained up to, pool {{pool}}")],
        "From having work to a lease. What is explained follows from weight, neighbours and quantum; a VM that a higher "
        "priority outranks has no such bound."),
    panel("Who has the GPU", "ratio", [
        query(per_second("vgpu_gpu_seconds_total"), "this VM"),
        query("sum by (instance) (sum by (instance, pool) "
              f'(rate(vgpu_gpu_seconds_total{{{HERE}, vm!~"$vm"}}{RATE})) '
              f"and on (instance, pool) {ITS_POOLS})", "others in its pools")],
        "GPU seconds per second, by this VM and by the others of its pools.", stacked=True),
    panel("Share and due share", "ratio", [
        query(f"instance_vm_pool:vgpu_gpu_share:ratio_rate5m{{{OF}}}", "has, pool {{pool}}"),
        query(f"instance_vm_pool:vgpu_due_share:ratio{{{OF}}}", "due while all want it, pool {{pool}}")],
        "Below its due share while it waits: a higher priority is served first, or something is wrong.", maximum=1),
    panel("Sessions and the GPU", "number", [query(f"sum by (state) (vgpu_leases{{{OF}}})", "{{state}}")],
          "Sessions that hold a lease, wait for one, or have nothing to do. All have nothing to do: the VM is slow elsewhere.",
          stacked=True),
    panel("Slowed down", "per second", [query(per_second("vgpu_calls_delayed_total"), "times")],
          "Times that its calls waited because of its calls_per_second.", width=4),
    panel("Limits met", "number",
          [query(f"sum by (limit) (increase(vgpu_limit_refusals_total{{{OF}}}[5m]))", "{{limit}}")],
          "What its limits did not allow, within the five minutes before.", width=4),
    panel("Copies against kernels", "bytes per second",
          [query(f"sum by (direction) (rate(vgpu_copied_bytes_total{{{OF}}}{RATE}))", "{{direction}}")],
          "Near what the bus carries, copies are what the program waits for.", width=4),
    panel("Kernels", "per second", [query(per_second("vgpu_kernels_launched_total"), "kernels")],
          "Kernels that were launched.", width=4),
    panel("Calls that wait for their answer", "ratio", [
        query(f"{per_second('vgpu_sync_calls_total')} / ({per_second('vgpu_calls_processed_total')} > 0)", "synchronous")],
        "Of all calls. Each costs a round trip, and the program does nothing meanwhile.", width=6),
    panel("Calls lie in the ring", "seconds", [
        query(f"histogram_quantile(0.5, sum by (le) (rate(vgpu_queue_delay_seconds_bucket{{{OF}}}{RATE})))", "half: below"),
        query(f"histogram_quantile(0.99, sum by (le) (rate(vgpu_queue_delay_seconds_bucket{{{OF}}}{RATE})))",
              "99 of 100: below")],
        "From an executor's finding them until it has run them, losses of the lease included; sampled.", width=6),
    panel("Ring full", "per second", [query(per_second("vgpu_ring_full_waits_total"), "waits for room")],
          "Times that the program was so far ahead that it had to wait.", width=6),
    panel("Use of the GPUs", "ratio",
          [query(f"(vgpu_pool_gpu_info{{{HERE}}} and on (instance, pool) {ITS_POOLS}) "
                 f"* on (instance, uuid) group_left () vgpu_gpu_utilization_ratio{{{HERE}}}", "{{uuid}}, pool {{pool}}")],
          "Of the GPUs of its pools, by everybody on the host. Low while sessions wait: something is wrong.", width=6,
          maximum=1),
)

WORK = row(
    "What it does",
    panel("Calls processed", "number", [query(f"sum by (instance, pool) (vgpu_calls_processed_total{{{OF}}})",
                                              "pool {{pool}}")], "Since vgpud was started.", width=6),
    panel("Calls per second", "per second", [query(per_second("vgpu_calls_processed_total"), "calls"),
                                             query(f"max(vgpu_vm_calls_per_second_limit{{{OF}}})", "limit")],
          "And its calls_per_second, where it has such a limit.", width=6),
    panel("Calls by name", "per second",
          [query(f"topk(15, sum by (call) (rate(vgpu_calls_by_name_total{{{OF}}}{RATE})))", "{{call}}")],
          "The 15 most frequent.", stacked=True, width=6),
    panel("Wakes and sleeps", "per second", [
        query(per_second("vgpu_doorbells_total"), "doorbells"),
        query(per_second("vgpu_executor_sleeps_total"), "executor went to sleep")],
        "A busy program rings nobody. Thousands a second: it works in bursts shorter than the executors' patience "
        "(spin_microseconds).", width=6),
    panel("Calls by name, since vgpud was started", "number",
          [query(f"sort_desc(sum by (call) (vgpu_calls_by_name_total{{{OF}}}))", "{{call}}")],
          "All that it ever made.", kind="bargauge", width=12, height=12),
    panel("Time in the ring", "number",
          [query(f"sum by (le) (increase(vgpu_queue_delay_seconds_bucket{{{OF}}}{RATE}))")],
          "How long calls lie in the ring; sampled.", kind="heatmap", width=6, height=12),
    panel("Waits for leases", "number",
          [query(f"sum by (le) (increase(vgpu_lease_wait_seconds_bucket{{{OF}}}{RATE}))")],
          "How long its sessions waited for the GPU.", kind="heatmap", width=6, height=12),
)

HOLDS = row(
    "What it holds, and may",
    panel("GPU memory", "bytes", [
        query(f"sum by (instance) (vgpu_memory_used_bytes{{{OF}}})", "used"),
        query(f"max by (instance) (vgpu_vm_memory_limit_bytes{{{OF}}})", "limit"),
        query(f"sum by (instance) (rate(vgpu_memory_byte_seconds_total{{{OF}}}{RATE}))", "used on average")],
        "At the limit allocations fail with CUDA_ERROR_OUT_OF_MEMORY.", width=6),
    panel("Page-locked memory", "bytes", [
        query(f"sum by (instance) (vgpu_arena_used_bytes{{{OF}}})", "used"),
        query(f"max by (instance) (vgpu_vm_arena_limit_bytes{{{OF}}})", "limit")],
        "Host memory that the GPU reaches itself.", width=6),
    panel("Objects", "number", [
        query(f"sum by (kind) (vgpu_objects{{{OF}}})", "{{kind}}"),
        query(f"max by (kind) (vgpu_vm_objects_limit{{{OF}}})", "limit on {{kind}}")],
        "Made and not destroyed. One that only rises is a leak in the program.", width=6),
    panel("Sessions", "number", [
        query(f"sum by (instance) (vgpu_sessions{{{OF}}})", "open"),
        query(f"max by (instance) (vgpu_vm_sessions_limit{{{OF}}})", "limit")],
        "At the limit the next process gets no session.", width=6),
)

FAULTS = row(
    "Faults",
    panel("Faults by reason", "number",
          [query(f"sum by (reason) (increase(vgpu_faults_total{{{OF}}}[5m]))", "{{reason}}")],
          "Within the five minutes before. vgpud's log has a line for each: grep 'level=error' and vm=$vm.", width=12),
    panel("GPU time per hour", "seconds", [query(f"sum by (instance) (increase(vgpu_gpu_seconds_total{{{OF}}}[1h]))", "used")],
          "What a bill would have.", width=12),
)

BOARD = dashboard("vgpu-vm", "vgpu: one VM", "What one VM does and has, and why it is slow.", [VM],
                  [IDENTITY, SLOW, WORK, HOLDS, FAULTS])
