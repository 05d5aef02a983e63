"""PyTorch matrix products in three types and several sizes, each compared with the CPU's product in float64.

torch_matmul.py [--checksums FILE] [--compare FILE]
  --checksums   writes a checksum of each result's bytes
  --compare     fails where a checksum differs from those of another run (the same GPU without forwarding, say)
Prints one line for each product and a last line `torch_matmul: ok …`; exits 1 when something is wrong.
"""

import argparse
import json
import sys
import zlib

import torch

# Relative to the sum of the products' sizes: rounding of the inputs' type and of the result.
TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
SIZES = [(16, 16, 16), (33, 65, 127), (256, 256, 256), (1024, 512, 768), (2048, 2048, 2048)]


def product(kind, rows, inner, columns):
    generator = torch.Generator().manual_seed(rows * 31 + inner * 7 + columns)
    a = (torch.rand(rows, inner, generator=generator) * 2 - 1).to(kind)
    b = (torch.rand(inner, columns, generator=generator) * 2 - 1).to(kind)
    result = (a.cuda() @ b.cuda()).cpu()
    wanted = a.double() @ b.double()
    size = a.double().abs() @ b.double().abs()
    error = ((result.double() - wanted).abs() / size.clamp_min(1e-30)).max().item()
    checksum = zlib.crc32(result.contiguous().view(torch.uint8).numpy().tobytes())
    return error, checksum


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--checksums")
    parser.add_argument("--compare")
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name(0)}")
    checksums = {}
    wrong = 0
    for kind, tolerance in TOLERANCE.items():
        for rows, inner, columns in SIZES:
            error, checksum = product(kind, rows, inner, columns)
            name = f"{str(kind).removeprefix('torch.')} {rows}x{inner}x{columns}"
            checksums[name] = checksum
            good = error <= tolerance
            wrong += not good
            print(f"{name}: {'ok' if good else 'WRONG'}, relative error {error:.2e}, checksum {checksum:08x}")
    # Several products in two streams, one on the other's result.
    a = torch.rand(512, 512, generator=torch.Generator().manual_seed(1)).cuda()
    side = torch.cuda.Stream()
    first = a @ a
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        second = first @ a
    torch.cuda.current_stream().wait_stream(side)
    error = ((second.cpu().double() - a.cpu().double() @ a.cpu().double() @ a.cpu().double()).abs().max()
             / second.abs().max().cpu().double()).item()
    wrong += not error <= 1e-5
    print(f"two streams: relative error {error:.2e}")

    if options.checksums:
        with open(options.checksums, "w", encoding="utf-8") as file:
            json.dump(checksums, file, indent=1)
    if options.compare:
        with open(options.compare, encoding="utf-8") as file:
            others = json.load(file)
        for name, checksum in checksums.items():
            if others.get(name) != checksum:
                wrong += 1
                print(f"{name}: WRONG, its bytes differ from those of {options.compare}")
    if wrong:
        print(f"FAILED: {wrong} wrong")
        return 1
    print(f"torch_matmul: ok, {len(checksums) + 1} products{', bytes equal' if options.compare else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
