# needs: torch
# about: a tensor on the GPU handed to another process (CUDA IPC)
# refused: CUDA IPC is not carried
import torch
from results import check, give


def add(queue, back):
    tensor = queue.get()
    tensor.add_(1)
    torch.cuda.synchronize()
    back.put(True)


if __name__ == "__main__":
    context = torch.multiprocessing.get_context("spawn")
    queue, back = context.Queue(), context.Queue()
    process = context.Process(target=add, args=(queue, back))
    process.start()
    x = torch.arange(1000, dtype=torch.float32, device="cuda")
    queue.put(x)
    assert back.get(timeout=60)
    process.join(20)
    check("added", x, torch.arange(1000) + 1.0, 0)
    give("added", x)
