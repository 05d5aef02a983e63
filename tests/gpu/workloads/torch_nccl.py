# needs: torch
# env: MASTER_ADDR=127.0.0.1 RANK=0 WORLD_SIZE=1 LOCAL_RANK=0 NCCL_NVLS_ENABLE=0
# about: torch.distributed with NCCL in one process: all_reduce, all_gather, DistributedDataParallel
import os
import socket

import torch
import torch.distributed as distributed
from results import check, give

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    os.environ["MASTER_PORT"] = str(probe.getsockname()[1])
distributed.init_process_group("nccl")
x = torch.arange(1000, dtype=torch.float32, device="cuda")
distributed.all_reduce(x)
check("all_reduce", x, torch.arange(1000.0), 0)
parts = [torch.empty_like(x)]
distributed.all_gather(parts, x)
give("gathered", parts[0])
torch.manual_seed(193)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(32, 8).cuda(), device_ids=[0])
model(torch.ones(4, 32, device="cuda")).square().sum().backward()
give("gradient", model.module.weight.grad, 1e-6)
distributed.destroy_process_group()
