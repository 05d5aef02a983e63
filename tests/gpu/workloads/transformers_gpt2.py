# needs: torch transformers
# seconds: 180
# about: GPT-2 of random weights: generate() greedy, with beams, sampled, in half precision; training in bf16
import copy

import torch
from results import check, give
from transformers import GPT2Config, GPT2LMHeadModel, set_seed

set_seed(101)
config = GPT2Config(n_layer=4, n_head=4, n_embd=128, vocab_size=1000, n_positions=256, bos_token_id=0, eos_token_id=999,
                    pad_token_id=999)
model = GPT2LMHeadModel(config).cuda().eval()
prompt = torch.randint(1, 900, (2, 16), generator=torch.Generator().manual_seed(1)).cuda()
common = {"max_new_tokens": 40, "min_new_tokens": 40, "attention_mask": torch.ones_like(prompt)}
give("greedy", model.generate(prompt, do_sample=False, **common))
give("beams", model.generate(prompt, do_sample=False, num_beams=4, **common))
set_seed(103)
give("sampled", model.generate(prompt, do_sample=True, top_k=50, top_p=0.9, temperature=0.8, **common))
with torch.no_grad():
    logits = model(prompt).logits
    check("logits", logits, model.cpu()(prompt.cpu()).logits, 1e-4)
give("logits", logits, 1e-6)
model = model.cuda()
give("half-greedy", copy.deepcopy(model).half().generate(prompt, do_sample=False, **common))

model = model.to(torch.bfloat16).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
generator = torch.Generator().manual_seed(107)
data = torch.randint(1, 900, (8, 128), generator=generator)
losses = []
for _ in range(40):
    batch = data[torch.randperm(8, generator=generator)[:4]].cuda()
    loss = model(input_ids=batch, labels=batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.detach().float())
give("losses", torch.stack(losses), 5e-3)
assert losses[-1] < losses[0] - 0.5, (losses[0], losses[-1])
