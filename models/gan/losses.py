"""Losses of the three GANs: pure functions of logits, images and weights."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.gan.networks import Rng

Critic = Callable[[Tensor], Tensor]


def generator_loss(fake: Tensor, adversarial: str) -> Tensor:
    """Scalar; ``fake``: (n,) logits of drawn images.

    Args:
        fake: logits.
        adversarial: ``non_saturating`` (Goodfellow 2014) or ``hinge`` (Lim & Ye 2017).
    """
    return -fake.mean() if adversarial == "hinge" else functional.softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor, adversarial: str) -> Tensor:
    """Scalar, from (n,) logits of real and of drawn images."""
    if adversarial == "hinge":
        return functional.relu(1.0 - real).mean() + functional.relu(1.0 + fake).mean()
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def r1_penalty(critic: Critic, images: Tensor) -> Tensor:
    """Mean squared norm of the critic's gradient at real images (Mescheder 2018, equation 9).

    Without the weight γ/2. Differentiable with respect to the critic's weights.

    Args:
        critic: (n, 1, size, size) to (n,) logits.
        images: real ones.
    """
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def path_lengths(images: Tensor, latents: Tensor, rng: Rng) -> Tensor:
    """(n,) lengths |Jᵀy| for y ~ N(0, 1) per pixel, over √pixels (Karras 2020a, section 3.2).

    Args:
        images: (n, 1, size, size) drawn from ``latents``, with their graph.
        latents: (n, styles, w_dim); the length is a root mean square over styles.
        rng: of y.
    """
    noise = torch.randn(images.shape, generator=rng, device=rng.device, dtype=images.dtype)
    noise = noise / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * noise).sum(), latents, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def path_penalty(lengths: Tensor, mean: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Squared distance of the lengths from their running mean, and that mean, moved on.

    Args:
        lengths: (n,) of `path_lengths`.
        mean: scalar, the running mean so far.
        decay: share of the new mean, in (0, 1].
    """
    moved = mean.lerp(lengths.detach().mean().to(mean.dtype), decay)
    return (lengths - moved).square().mean(), moved


def orthogonal_penalty(network: nn.Module) -> Tensor:
    """Σ ‖WWᵀ ⊙ (1 − I)‖² over weight matrices (Brock 2018, equation 3).

    Class embeddings are left out, as are biases; a filter is a row.
    """
    total = torch.zeros((), device=next(network.parameters()).device)
    for module in network.modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        parametrised = getattr(module, "parametrizations", None)
        weight = module.weight if parametrised is None else parametrised.weight.original
        rows = weight.flatten(1)
        gram = rows @ rows.T
        total = total + gram.square().sum() - gram.diagonal().square().sum()
    return total
