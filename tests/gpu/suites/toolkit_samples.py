# seconds: 300
# slots: 3
# about: samples that come with the toolkit: CUPTI's and Nsight Compute's, those of one source, compiled and run
# refused: CUPTI is not carried, and most of the samples are its own
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from outcomes import record

nvcc = Path(shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc").resolve()
toolkit = nvcc.parent.parent
folders = [toolkit / "extras/CUPTI/samples", *Path("/opt/nvidia/nsight-compute").glob("*/extras/samples")]
sources = [path for folder in folders for path in sorted(folder.glob("*/*.cu"))
           if len(list(path.parent.glob("*.c*"))) == 1]
work = Path(tempfile.mkdtemp())


def run(source):
    name = f"{source.parent.name}/{source.name}"
    program = work / name.replace("/", "-").removesuffix(".cu")
    includes = ["-I", toolkit / "extras/CUPTI/include", "-I", source.parents[1] / "common"]
    built = subprocess.run([nvcc, source, "-o", program, *includes, "-L", toolkit / "lib64", "-lcuda", "-lcupti"],
                           text=True, capture_output=True, check=False)
    if built.returncode:
        return "skipped", name, "not compiled: " + built.stderr[-500:]
    try:
        done = subprocess.run([program], env=os.environ | {"LD_LIBRARY_PATH": guest_path()}, capture_output=True,
                              text=True, check=False, timeout=60, errors="replace")
    except subprocess.TimeoutExpired:
        return "failed", name, "not done in 60 s"
    text = f"exit {done.returncode}\n{(done.stdout + done.stderr)[-600:]}"
    return "passed" if done.returncode == 0 else "failed", name, text


def guest_path():
    return f"{os.environ.get('LD_LIBRARY_PATH', '')}:{toolkit / 'lib64'}:{toolkit / 'extras/CUPTI/lib64'}"


with ThreadPoolExecutor(3) as pool:
    for outcome, name, text in pool.map(run, sources):
        print(f"== {name}: {outcome}: {text}")
        record(outcome, name)
