# about: what the frameworks say of the machine: collect_env, cupy.show_config, numba -s, jax, transformers env, NVML
import importlib.util
import subprocess
import sys
from pathlib import Path

from outcomes import record

REPORTS = {
    "torch": ["-m", "torch.utils.collect_env"],
    "cupy": ["-c", "import cupy; cupy.show_config()"],
    "numba": ["-m", "numba", "-s"],
    "numba_cuda": ["-c", "import numba_names; from numba import cuda; assert cuda.detect()"],
    "jax": ["-c", "import jax; jax.print_environment_info(); assert jax.devices()[0].platform == 'gpu'"],
    "transformers": [str(Path(sys.executable).with_name("transformers")), "env"],
    "triton": ["-c", "import triton; print(triton.runtime.driver.active.get_current_target(), "
                     "triton.runtime.driver.active.utils.get_device_properties(0))"],
    "accelerate": ["-m", "accelerate.commands.accelerate_cli", "env"],
    "pynvml": ["-c", "import pynvml as nvml; nvml.nvmlInit(); "
                     "print(nvml.nvmlDeviceGetName(nvml.nvmlDeviceGetHandleByIndex(0)))"],
}
for name, command in REPORTS.items():
    if importlib.util.find_spec(name) is None:
        record("skipped", name)
        continue
    result = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, timeout=110)
    print(f"== {name}: exit {result.returncode}", result.stdout[-3000:], result.stderr[-1500:], sep="\n")
    record("passed" if result.returncode == 0 else "failed", name)
