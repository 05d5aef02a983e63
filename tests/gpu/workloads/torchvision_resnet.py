# needs: torch torchvision
# about: torchvision: ResNet-18 training in channels-last with autocast, detection operators (NMS, RoI), transforms
import torch
import torchvision
from results import check, give

torch.manual_seed(179)
torch.backends.cudnn.deterministic = True
model = torchvision.models.resnet18(num_classes=10).cuda().to(memory_format=torch.channels_last)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
generator = torch.Generator().manual_seed(181)
images, labels = torch.randn(16, 3, 96, 96, generator=generator), torch.randint(0, 10, (16,), generator=generator)
losses = []
for _ in range(8):
    with torch.autocast("cuda", torch.bfloat16):
        out = model(images.cuda().to(memory_format=torch.channels_last))
        loss = torch.nn.functional.cross_entropy(out.float(), labels.cuda())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.detach())
give("losses", torch.stack(losses), 2e-2)
corners = torch.rand(500, 2, generator=generator) * 100
boxes = torch.cat([corners, corners + 5 + torch.rand(500, 2, generator=generator) * 20], 1)
scores = torch.rand(500, generator=generator)
check("nms", torchvision.ops.nms(boxes.cuda(), scores.cuda(), 0.4), torchvision.ops.nms(boxes, scores, 0.4), 0)
features = images[:2]
rois = torch.cat([torch.randint(0, 2, (50, 1), generator=generator).float(), boxes[:50] * 0.5], 1)
roi_align = torchvision.ops.roi_align
check("roi", roi_align(features.cuda(), rois.cuda(), 7), roi_align(features, rois, 7), 1e-4)
give("resized", torchvision.transforms.functional.resize(features.cuda(), [50, 70], antialias=True), 1e-6)
