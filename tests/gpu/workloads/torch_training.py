# needs: torch
# about: AdamW training of a bf16 transformer; with autocast and a GradScaler; fused, foreach and capturable optimizers
import torch
from results import give
from torch import nn

torch.use_deterministic_algorithms(False)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(512, 128)
        layer = nn.TransformerEncoderLayer(128, 4, 256, dropout=0.1, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Linear(128, 512)

    def forward(self, tokens):
        return self.head(self.encoder(self.embedding(tokens)))


def batches(count):
    generator = torch.Generator().manual_seed(23)
    for _ in range(count):
        yield torch.randint(0, 512, (16, 65), generator=generator)


def train(name, steps, kind, **options):
    torch.manual_seed(29)
    model = Model().cuda()
    if kind is not None:
        model = model.to(kind)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, **options)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    scaler = torch.amp.GradScaler("cuda", enabled=kind is None)
    losses = []
    for tokens in batches(steps):
        tokens = tokens.cuda(non_blocking=True)
        with torch.autocast("cuda", torch.float16, enabled=kind is None):
            logits = model(tokens[:, :-1])
            loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
        losses.append(loss.detach())
    give(f"{name}-losses", torch.stack(losses), 5e-3)
    give(f"{name}-norm", torch.stack([p.float().norm() for p in model.parameters()]), 5e-3)
    assert losses[-1] < losses[0], (losses[0], losses[-1])
    print(f"{name}: loss {losses[0]:.4f} to {losses[-1]:.4f}")


train("bf16", 60, torch.bfloat16)
train("bf16-fused", 30, torch.bfloat16, fused=True)
train("autocast", 30, None, foreach=True)
train("fp32-capturable", 20, torch.float32, capturable=True)
