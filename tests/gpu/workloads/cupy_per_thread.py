# needs: cupy
# env: CUPY_CUDA_PER_THREAD_DEFAULT_STREAM=1
# about: CuPy with per-thread default streams, in several threads
import threading

import cupy
from results import check, give

results = {}


def work(index):
    x = cupy.arange(100_000, dtype="d") + index
    for _ in range(20):
        x = cupy.sqrt(x * x + 1)
    results[index] = x.get()


threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for index in range(6):
    give(f"thread-{index}", results[index])
    check(f"thread-{index}", results[index], ((cupy.arange(100_000, dtype="d") + index) ** 2 + 20) ** 0.5, 1e-12)
