"""One training step of any of the GANs, on one or several processes.

Gradients are averaged over processes by hand: penalties differentiate twice, which wrappers that
hook into the backward pass do not bear.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from models.gan.ada import AdaPipeline, adjust, observe
from models.gan.diffaugment import diffaugment
from models.gan.losses import (
    discriminator_loss,
    generator_loss,
    orthogonal_penalty,
    path_lengths,
    path_penalty,
    r1_penalty,
)
from models.gan.networks import Rng
from models.gan.recipe import Recipe
from models.gan.state import TrainState

Batch = tuple[Tensor, Tensor]


class Stepper:
    """Takes training steps.

    Args:
        recipe: how.
        size_px: side of the images.
        fabric: device, precision and processes.
        seed: of everything random.
    """

    def __init__(self, recipe: Recipe, size_px: int, fabric: Fabric, seed: int) -> None:
        self._recipe = recipe
        self._fabric = fabric
        self._seed = seed
        self._pipeline = AdaPipeline(size_px).to(fabric.device)
        self._rng = Rng(device=fabric.device)

    def step(self, state: TrainState, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """Discriminator steps, a generator step, averaging, steering.

        Args:
            state: changed in place.
            batches: for each discriminator step (n, 1, size, size) real images in [-1, 1] and
                (n,) labels: this process's share of the batch.

        Returns:
            Scalars on the device: losses and what the discriminator thinks.
        """
        self._reseed(state.steps)
        told: dict[str, Tensor] = {}
        for real, label in batches:
            told |= self._discriminator(state, real, label)
        told |= self._generator(state, batches[-1][1])
        shown = self._recipe.batch * len(batches)
        state.images += shown
        state.steps += 1
        follow(state, self._recipe, shown)
        self._average_buffers(state)
        if self._recipe.augment == "ada" and state.steps % self._recipe.ada_interval == 0:
            images = shown * self._recipe.ada_interval
            state.strength = adjust(state.strength, images, self._recipe)
        return told

    def _discriminator(self, state: TrainState, real: Tensor, label: Tensor) -> dict[str, Tensor]:
        recipe, critic = self._recipe, state.discriminator
        with torch.no_grad(), self._fabric.autocast():
            z = state.generator.random(len(real), self._rng)
            fake = state.generator(z, label, self._rng)
        seen_real, seen_fake = self._augment(state, real), self._augment(state, fake.float())
        with self._fabric.autocast():
            on_real, on_fake = critic(seen_real, label), critic(seen_fake, label)
            loss = discriminator_loss(on_real.float(), on_fake.float(), recipe.adversarial)
        self._move(state.discriminator_adam, loss)
        told = {"loss_d": loss, "real": on_real.float().mean(), "fake": on_fake.float().mean()}
        told = {name: one.detach() for name, one in told.items()}
        if recipe.augment == "ada":
            signs = self._mean(torch.sign(on_real.detach().float()).mean())
            state.strength = observe(state.strength, float(signs) * recipe.batch, recipe.batch)
        if recipe.r1_gamma > 0 and state.steps % recipe.r1_interval == 0:
            # In full precision: its gradients are small differences.
            penalty = r1_penalty(lambda images: critic(images, label), seen_real)
            self._move(
                state.discriminator_adam, penalty * (recipe.r1_gamma / 2 * recipe.r1_interval)
            )
            told["r1"] = penalty.detach()
        return told

    def _generator(self, state: TrainState, label: Tensor) -> dict[str, Tensor]:
        recipe = self._recipe
        z = state.generator.random(len(label), self._rng)
        with _frozen(state.discriminator):
            with self._fabric.autocast():
                fake = state.generator(z, label, self._rng)
            seen = self._augment(state, fake.float())
            with self._fabric.autocast():
                on_fake = state.discriminator(seen, label)
            loss = generator_loss(on_fake.float(), recipe.adversarial)
            total = loss
            if recipe.orthogonal_weight > 0:
                penalty = orthogonal_penalty(state.generator)
                total = loss + recipe.orthogonal_weight * penalty
            self._move(state.generator_adam, total)
        told = {"loss_g": loss.detach()}
        if recipe.path_weight > 0 and state.steps % recipe.path_interval == 0:
            told |= self._path(state, label[: max(1, round(len(label) * recipe.path_batch_share))])
        return told

    def _path(self, state: TrainState, label: Tensor) -> dict[str, Tensor]:
        recipe = self._recipe
        z = state.generator.random(len(label), self._rng)
        latents = state.generator.latents(z, label, self._rng)
        lengths = path_lengths(state.generator.draw(latents, self._rng), latents, self._rng)
        # At first the mean of all lengths so far: a mean that rises from 0 pulls them to 0.
        decay = max(recipe.path_decay, 1.0 / (1 + state.steps // recipe.path_interval))
        penalty, moved = path_penalty(lengths, state.path_mean, decay)
        state.path_mean.copy_(self._mean(moved))
        self._move(state.generator_adam, penalty * (recipe.path_weight * recipe.path_interval))
        return {"path_length": lengths.detach().mean()}

    def _augment(self, state: TrainState, images: Tensor) -> Tensor:
        if self._recipe.augment == "ada":
            changed: Tensor = self._pipeline(images, state.strength.p, self._rng)
            return changed
        return diffaugment(images, self._rng) if self._recipe.augment == "diffaugment" else images

    def _move(self, adam: torch.optim.Adam, loss: Tensor) -> None:
        adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self._fabric.world_size > 1:
            for group in adam.param_groups:
                for one in group["params"]:
                    if one.grad is not None:
                        one.grad = self._mean(one.grad)
        adam.step()

    def _mean(self, value: Tensor) -> Tensor:
        if self._fabric.world_size == 1:
            return value
        reduced = self._fabric.all_reduce(value, reduce_op="mean")
        assert isinstance(reduced, Tensor)
        return reduced

    def _average_buffers(self, state: TrainState) -> None:
        """Running statistics, which each process took from its own share."""
        if self._fabric.world_size == 1:
            return
        for module in (state.generator, state.discriminator, state.average):
            for one in module.buffers():
                if one.dtype.is_floating_point:
                    one.copy_(self._mean(one))

    def _reseed(self, step: int) -> None:
        sequence = np.random.SeedSequence([self._seed, step, self._fabric.global_rank])
        self._rng.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))


@torch.no_grad()
def follow(state: TrainState, recipe: Recipe, shown: int) -> None:
    """The average takes a step towards the generator, its statistics too."""
    half_life = min(recipe.ema_half_life_images, recipe.ema_ramp * state.images)
    share = 1.0 - 0.5 ** (shown / max(half_life, 1e-8))
    new_values = state.generator.state_dict()
    for name, mean in state.average.state_dict().items():
        new = new_values[name]
        # Singular vectors have unit length; a mean of them has not.
        if mean.dtype.is_floating_point and not name.endswith(("._u", "._v")):
            mean.lerp_(new, share)
        else:
            mean.copy_(new)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Its weights take no gradients meanwhile: half the work of a backward pass."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
