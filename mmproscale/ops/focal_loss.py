"""Sigmoid focal loss in plain PyTorch, for GPUs on which mmcv has no compiled one (DINO)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def sigmoid_focal_loss(logits: Tensor, labels: Tensor, gamma: float, alpha: float) -> Tensor:
    """The loss of each logit (N, C) in fp32 or wider, as RetinaNet's eq. 5 with balance ``alpha``.

    Args:
        logits: (N, C).
        labels: (N,), C and more for background.
        gamma: How much less sure logits count.
        alpha: Weight of the label's own logit; 1 - alpha of the others.
    """
    # As mmdet's own under autocast.
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    own = labels[:, None] == torch.arange(logits.shape[1], device=logits.device)
    signed = torch.where(own, logits, -logits)  # large where the logit is right
    balance = torch.where(own, alpha, 1 - alpha)
    return -balance * torch.sigmoid(-signed) ** gamma * F.logsigmoid(signed)
