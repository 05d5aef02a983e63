# needs: torch
# about: a green context with part of the multiprocessors
import torch
from results import check
from torch.cuda.green_contexts import GreenContext

x = torch.randn(512, 512, generator=torch.Generator().manual_seed(1)).cuda()
context = GreenContext.create(num_sms=16, device_id=0)
context.set_context()
y = x @ x
torch.cuda.current_stream().synchronize()
context.pop_context()
check("product", y, x.cpu().double() @ x.cpu().double(), 1e-4)
