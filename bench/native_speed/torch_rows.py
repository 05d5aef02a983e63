#!/usr/bin/env python3
"""Measures workloads of PyTorch in this process, of random weights: torch_rows.py [--quick] ROW… It speaks as
rows.hpp says; bench/native_speed/run starts it natively and forwarded."""

import json
import sys
import time

import torch
from torch import nn


def say(**what):
    print(json.dumps(what), flush=True)


def samples_of(step, count, warm_up, times=1):
    """Seconds of each of `count` steps, after `warm_up` others; a sample is the mean of `times` steps."""
    for _ in range(warm_up * times):
        step()
    torch.cuda.synchronize()
    samples = []
    for _ in range(count):
        start = time.perf_counter()
        for _ in range(times):
            step()
        torch.cuda.synchronize()
        samples.append((time.perf_counter() - start) / times)
    return samples


def gpt2(**changes):
    from transformers import GPT2Config, GPT2LMHeadModel

    size = {"n_layer": 2, "n_head": 2, "n_embd": 64} if QUICK else {}
    return GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=50256, pad_token_id=50256, **size, **changes)).cuda()


def gpt2_decode():
    """Tokens a second."""
    tokens = 4 if QUICK else 64
    model = gpt2().half().eval()
    prompt = torch.randint(1, 50000, (1, 16), device="cuda")
    mask = torch.ones_like(prompt)

    def generate():
        model.generate(prompt, attention_mask=mask, do_sample=False, max_new_tokens=tokens, min_new_tokens=tokens)

    samples = samples_of(generate, 2 if QUICK else 6, 1)
    return [tokens / seconds for seconds in samples], tokens * (len(samples) + 1)


def gpt2_train():
    """Milliseconds of a step."""
    batch, length = (2, 32) if QUICK else (8, 512)
    model = gpt2().to(torch.bfloat16).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    data = torch.randint(1, 50000, (batch, length), device="cuda")

    def step():
        model(input_ids=data, labels=data).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return milliseconds(samples_of(step, 2 if QUICK else 30, 1 if QUICK else 10), 1 if QUICK else 10)


def milliseconds(samples, warm_up, times=1):
    return [seconds * 1e3 for seconds in samples], (len(samples) + warm_up) * times


def tiny_train():
    layers = [layer for _ in range(20) for layer in (nn.Linear(64, 64), nn.ReLU())]
    model = nn.Sequential(*layers).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    x, y = torch.randn(32, 64, device="cuda"), torch.randn(32, 64, device="cuda")

    def step():
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()

    return milliseconds(samples_of(step, 2 if QUICK else 30, 5, times=5), 5, times=5)


def torch_graph():
    """Microseconds of a replay."""
    values = torch.ones(1024, device="cuda")
    values.add_(1)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(100):
            values.add_(1)

    def replay():
        graph.replay()
        torch.cuda.synchronize()

    samples = samples_of(replay, 5 if QUICK else 50, 5, times=10)
    return [seconds * 1e6 for seconds in samples], (len(samples) + 5) * 10


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.part = nn.Sequential(*[layer for _ in range(2) for layer in
                                    (nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
                                     nn.ReLU())])

    def forward(self, x):
        return x + self.part(x)


def convolution_net():
    """18 layers of convolutions, as deep nets for pictures have them."""
    layers, channels = [nn.Conv2d(3, 64, 7, stride=2, padding=3)], 64
    for stage in range(4):
        if stage:
            layers.append(nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1))
            channels *= 2
        layers += [Residual(channels), Residual(channels)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 100)).cuda()


def conv_train():
    count = 2 if QUICK else 64
    model = convolution_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    x, y = torch.randn(count, 3, 64, 64, device="cuda"), torch.randint(0, 100, (count,), device="cuda")

    def step():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return milliseconds(samples_of(step, 2 if QUICK else 30, 5), 5)


def conv_infer():
    model = convolution_net().eval()
    x = torch.randn(1, 3, 224, 224, device="cuda")

    @torch.no_grad()
    def step():
        model(x).cpu()

    return milliseconds(samples_of(step, 2 if QUICK else 30, 5, times=5), 5, times=5)


def main():
    torch.zeros(1, device="cuda").add_(1)
    torch.cuda.synchronize()
    say(started=time.monotonic())
    torch.manual_seed(1)
    for name in NAMES:
        row = ROWS[name]
        say(begin=name)
        sys.stdin.readline()
        try:
            samples, times = row()
            say(row=name, samples=samples, times=times)
        except Exception as error:  # the other rows go on
            say(failed=name, why=f"{type(error).__name__}: {error}"[:500])
        torch.cuda.empty_cache()


QUICK = "--quick" in sys.argv[1:]
NAMES = [word for word in sys.argv[1:] if word != "--quick"]
ROWS = {row.__name__: row for row in (gpt2_decode, gpt2_train, tiny_train, torch_graph, conv_train, conv_infer)}

if __name__ == "__main__":
    main()
