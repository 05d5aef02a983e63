# needs: torch
# slots: 2
# about: DataLoader with worker processes and pinned memory, copies that overlap; a spawned process that uses CUDA
import torch
from results import check, give
from torch.utils.data import DataLoader, Dataset


class Numbers(Dataset):
    def __len__(self):
        return 512

    def __getitem__(self, index):
        return torch.full((3, 64, 64), float(index)), index


def in_child(_, queue):
    queue.put(float(torch.arange(1000, device="cuda").float().sum().item()))


def main():
    total = torch.zeros(3, 64, 64, device="cuda")
    side = torch.cuda.Stream()
    pinned = 0
    loader = DataLoader(Numbers(), batch_size=32, num_workers=3, pin_memory=True, persistent_workers=True)
    for _ in range(2):
        for images, indices in loader:
            pinned += images.is_pinned()
            with torch.cuda.stream(side):
                on_gpu = images.to("cuda", non_blocking=True)
                indices.to("cuda", non_blocking=True)
            torch.cuda.current_stream().wait_stream(side)
            on_gpu.record_stream(torch.cuda.current_stream())
            total += on_gpu.sum(0)
    assert pinned == 32, pinned
    check("loader", total, torch.full((3, 64, 64), 2.0 * 511 * 512 / 2), 0)
    give("loader", total)

    host = torch.arange(1 << 20, dtype=torch.float32).pin_memory()
    back = torch.empty_like(host).pin_memory()
    back.copy_((host.cuda(non_blocking=True) * 2), non_blocking=True)
    torch.cuda.synchronize()
    check("pinned", back, host * 2, 0)

    context = torch.multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = torch.multiprocessing.spawn(in_child, (queue,), join=False)
    give("spawned", queue.get(timeout=90))
    child.join()


if __name__ == "__main__":
    main()
