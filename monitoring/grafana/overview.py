"""The dashboard "vgpu: overview": all hosts, or some; where does something go wrong, and for whom?"""

from board import RED, YELLOW, dashboard, panel, query, row, variable

POOL = variable("pool", "Pool", 'label_values(vgpu_pool_info{instance=~"$instance"}, pool)')
HERE = 'instance=~"$instance"'
IN = f'{HERE}, pool=~"$pool"'
OF_JOB = f'job="vgpu", {HERE}'
TO_VM = {"title": "Open VM ${__field.labels.vm}", "targetBlank": False,
         "url": "/d/vgpu-vm?var-datasource=${datasource}&var-instance=${__field.labels.instance}"
                "&var-vm=${__field.labels.vm}&${__url_time_range}"}
BY_VM = "sum by (instance, vm)"
VM = "VM {{vm}}"


def now(title, unit, expression, description, thresholds=None):
    return panel(title, unit, expression, description, kind="stat", width=3, height=4, thresholds=thresholds)


NOW = row(
    "Now",
    now("Daemons that answer", "number", f"sum(up{{{OF_JOB}}})", "vgpud processes that Prometheus can scrape. Fewer than "
        "hosts: see the alert VgpuDown."),
    now("Alerts", "number", 'count(ALERTS{alertname=~"Vgpu.*", alertstate="firing"}) or vector(0)',
        "Alerts that fire. docs/runbook.md has a paragraph for each.", [(1, RED)]),
    now("GPUs unhealthy", "number", f"count(vgpu_gpu_healthy{{{HERE}}} == 0) or vector(0)",
        "GPUs that get no work, after a fatal Xid or their loss. See the dashboard GPU health.", [(1, RED)]),
    now("VMs connected", "number", f"sum(vgpu_vm_connected{{{IN}}})", "VMs whose QEMU is connected to vgpud."),
    now("Sessions", "number", f"sum(vgpu_sessions{{{IN}}})", "Processes of guests that use the GPU."),
    now("Calls per second", "per second", f"sum(rate(vgpu_calls_processed_total{{{IN}}}[$__rate_interval]))",
        "CUDA calls that executors process."),
    now("Faults, 1 h", "number", f"round(sum(increase(vgpu_faults_total{{{IN}}}[1h])))",
        "Sessions that ended by a fault within the last hour. Below: by VM and reason.", [(1, YELLOW), (10, RED)]),
    now("VMs in quarantine", "number", f"sum(max by (instance, vm) (vgpu_vm_quarantined{{{IN}}}))",
        "VMs that get no session because of their faults.", [(1, RED)]),
)

CALLS = row(
    "Calls",
    panel("Calls processed", "number", [
        query(f"sum(vgpu_calls_processed_total{{{IN}}})", "total"),
        query(f"sum by (pool) (vgpu_calls_processed_total{{{IN}}})", "pool {{pool}}")],
        "CUDA calls since the daemons were started, in total and by pool. A fall to 0 is a restart."),
    panel("Calls per second by pool", "per second",
          [query(f"sum by (instance, pool) (rate(vgpu_calls_processed_total{{{IN}}}[$__rate_interval]))", "pool {{pool}}")],
          "A pool with sessions and no calls: either its programs are idle, or see the alert VgpuStalled.", stacked=True),
    panel("Calls per second by VM", "per second",
          [query(f"topk(15, {BY_VM} (rate(vgpu_calls_processed_total{{{IN}}}[$__rate_interval])))", VM)],
          "The 15 busiest VMs. Click a line for the VM's own dashboard.", link=TO_VM),
    panel("Calls by name", "per second",
          [query(f"topk(15, sum by (call) (rate(vgpu_calls_by_name_total{{{IN}}}[$__rate_interval])))", "{{call}}")],
          "What the guests do. Many synchronizing calls and few launches: programs that wait more than they work.",
          stacked=True),
    panel("Kernels per second", "per second",
          [query(f"sum by (instance, pool) (rate(vgpu_kernels_launched_total{{{IN}}}[$__rate_interval]))", "pool {{pool}}")],
          "Kernels that were launched."),
    panel("Copies", "bytes per second",
          [query(f"sum by (direction) (rate(vgpu_copied_bytes_total{{{IN}}}[$__rate_interval]))", "{{direction}}")],
          "Bytes that copies move. Near what the bus carries, copies are what programs wait for."),
)

SHARING = row(
    "Sharing",
    panel("GPU time: share and due share", "ratio", [
        query(f"instance_vm_pool:vgpu_gpu_share:ratio_rate5m{{{IN}}}", "VM {{vm}}, pool {{pool}}"),
        query(f"instance_vm_pool:vgpu_due_share:ratio{{{IN}}}", "due: VM {{vm}}, pool {{pool}}")],
        "The part that each VM had of its pool's GPU time, and what its weight entitles it to while all VMs with sessions "
        "want it. A VM below its due share either wants no more or is outranked by a higher priority.",
        width=12, height=8, maximum=1, link=TO_VM),
    panel("GPU time used", "ratio",
          [query(f"sum by (instance, pool) (rate(vgpu_gpu_seconds_total{{{IN}}}[$__rate_interval]))", "pool {{pool}}")],
          "GPU seconds per second: 100 % is one GPU in use all the time.", width=6, height=8),
    panel("Weights", "number", [query(f"max by (instance, vm) (vgpu_vm_weight{{{HERE}}})", VM)],
          "What VMs were given, as the configuration has it now.", width=6, height=8),
    panel("Waits for leases", "number",
          [query(f"sum by (le) (increase(vgpu_lease_wait_seconds_bucket{{{IN}}}[$__rate_interval]))")],
          "How long sessions with work waited for the GPU. Waits of a few quanta are ordinary while several VMs want it.",
          kind="heatmap", height=8),
    panel("99 of 100 waits are shorter than", "seconds", [
        query(f"instance_vm_pool:vgpu_lease_wait_seconds:p99_rate5m{{{IN}}}", "VM {{vm}}, pool {{pool}}"),
        query(f"instance_vm_pool:vgpu_lease_wait_bound_seconds:max{{{IN}}}", "bound: VM {{vm}}, pool {{pool}}")],
        "And what weights, neighbours and quantum explain. Above its bound: the alert VgpuLeaseWaitHigh.", height=8,
        link=TO_VM),
    panel("Sessions and the GPU", "number",
          [query(f"sum by (state) (vgpu_leases{{{IN}}})", "{{state}}")],
          "Sessions that hold a lease, wait for one, or have nothing to do.", stacked=True, height=8),
    panel("Sessions by VM", "number", [query(f"{BY_VM} (vgpu_sessions{{{IN}}})", VM)],
          "Processes of each VM with a session. Click a line for the VM's own dashboard.", stacked=True, link=TO_VM),
    panel("Pools", "number", f"max by (instance, pool, policy) (vgpu_pool_info{{{IN}}})",
          "How sessions of a pool share: fair, by weight and priority; concurrent, by the GPU's own time slices.",
          kind="table"),
    panel("Quantum", "seconds", [query(f"max by (instance, pool) (vgpu_pool_quantum_seconds{{{IN}}})", "pool {{pool}}")],
          "How long a session has the GPU while others want it.", kind="stat"),
)

MEMORY = row(
    "Memory and limits",
    panel("GPU memory used", "bytes", [query(f"{BY_VM} (vgpu_memory_used_bytes{{{IN}}})", VM)],
          "GPU memory that is charged to each VM.", stacked=True, link=TO_VM),
    panel("GPU memory used, of the limit", "ratio", [query(f"instance_vm:vgpu_memory_used:ratio{{{HERE}}}", VM)],
          "VMs with a limit only. At 100 % allocations fail with CUDA_ERROR_OUT_OF_MEMORY.",
          thresholds=[(0.8, YELLOW), (0.95, RED)], maximum=1, link=TO_VM),
    panel("Met their limit", "per second",
          [query(f"topk(10, sum by (instance, vm, limit) (rate(vgpu_limit_refusals_total{{{IN}}}[$__rate_interval])))",
                 "VM {{vm}} {{limit}}")],
          "What limits did not allow: programs got an error."),
)

TROUBLE = row(
    "Trouble",
    panel("Faults by VM", "number",
          [query(f"sum by (instance, vm) (increase(vgpu_faults_total{{{IN}}}[5m]))", VM)],
          "Within the five minutes before. One VM: its program. All VMs of a host at once: the host, see its GPUs.",
          link=TO_VM),
    panel("Faults by reason", "number", [query(f"sum by (reason) (increase(vgpu_faults_total{{{IN}}}[5m]))", "{{reason}}")],
          "gpu_fault: a kernel's own mistake; watchdog: work that did not end; executor_died: a crash, see vgpud's log; "
          "gpu_lost: the GPU failed; bad_…: memory was overwritten, or an attack."),
    panel("Connections refused", "number",
          [query(f"sum by (reason) (increase(vgpu_connections_refused_total{{{HERE}}}[5m]))", "{{reason}}")],
          "Programs that got no session. vgpud's log says why, for each (`connection refused`)."),
    panel("Calls that are not carried", "number",
          [query(f"sum by (call) (vgpu_unsupported_calls_total{{{HERE}}})", "{{call}}")],
          "Programs got CUDA_ERROR_NOT_SUPPORTED. cuGetExportTable: libraries ask and can do without."),
    panel("Quarantine", "number", [query(f"max by (instance, vm) (vgpu_vm_quarantined{{{IN}}})", VM)],
          "1: the VM gets no session until an operator lifts that (docs/operations.md).", thresholds=[(1, RED)], link=TO_VM),
    panel("Walls around executors", "yes/no", [query(f"min by (instance, part) (vgpu_executor_sandbox{{{HERE}}})", "{{part}}")],
          "Parts of the sandbox that are in force. cgroup is the service manager's to give.", kind="stat"),
)

DAEMON = row(
    "vgpud itself",
    panel("Versions", "number", f"max by (instance, version, cuda_toolkit, protocol) (vgpu_build_info{{{HERE}}})",
          "What runs where.", kind="table"),
    panel("Running since", "time", [query(f"process_start_time_seconds{{{OF_JOB}}} * 1000", "{{instance}}")],
          "When vgpud was started last: that ended all sessions.", kind="stat", width=4),
    panel("Configuration applied", "time",
          [query(f"vgpu_config_last_reload_success_timestamp_seconds{{{HERE}}} * 1000", "{{instance}}")],
          "When a configuration was applied last.", kind="stat", width=4),
    panel("Last reload", "yes/no", [query(f"vgpu_config_last_reload_successful{{{HERE}}}", "{{instance}}")],
          "No: the configuration has a mistake; vgpud's log names it, and the one before it holds.", kind="stat", width=4),
    panel("Time of a scrape", "seconds", [query(f"scrape_duration_seconds{{{OF_JOB}}}", "{{instance}}")],
          "How long vgpud takes to answer Prometheus.", width=4),
    panel("Processor", "ratio", [query(f"rate(process_cpu_seconds_total{{{OF_JOB}}}[$__rate_interval])", "{{instance}}")],
          "Of one processor; vgpud alone, not its executors."),
    panel("Memory", "bytes", [
        query(f"process_resident_memory_bytes{{{OF_JOB}}}", "resident {{instance}}"),
        query(f"process_virtual_memory_bytes{{{OF_JOB}}}", "virtual {{instance}}")],
        "vgpud alone. It maps a few pages of each session: virtual memory rises with sessions, and falls again."),
    panel("File descriptors and threads", "number", [
        query(f"process_open_fds{{{OF_JOB}}}", "open {{instance}}"),
        query(f"process_max_fds{{{OF_JOB}}}", "allowed {{instance}}"),
        query(f"process_threads{{{OF_JOB}}}", "threads {{instance}}")],
        "About nine descriptors for each session. Near what is allowed, connections are refused."),
)

BOARD = dashboard("vgpu-overview", "vgpu: overview", "All hosts: what is processed, who has how much of the GPUs, what goes "
                  "wrong.", [POOL], [NOW, CALLS, SHARING, MEMORY, TROUBLE, DAEMON])
