"""All that a training knows between two steps, as tensors and plain numbers.

A step's randomness comes from seed, step and process alone, and the order of the data from seed and
image count: so what is here is everything that a training that goes on needs.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from models.gan.ada import Strength
from models.gan.kinds import GanSettings, build
from models.gan.networks import Discriminator, Generator
from models.gan.recipe import Recipe
from sorter.errors import InputError


@dataclass
class TrainState:
    """Networks, their averages and optimisers, counters. Changed by each step.

    Attributes:
        generator, discriminator: what is trained.
        average: the generator with weights averaged over the training; what draws.
        generator_adam, discriminator_adam: optimisers.
        path_mean: scalar, running mean of path lengths.
        strength: of the adaptive augmentation.
        images: real images shown.
        steps: generator steps done.
    """

    generator: Generator
    discriminator: Discriminator
    average: Generator
    generator_adam: Adam
    discriminator_adam: Adam
    path_mean: Tensor
    strength: Strength = field(default_factory=Strength)
    images: int = 0
    steps: int = 0

    def numbers(self) -> dict[str, Any]:
        """What is not a tensor, for JSON; floats survive it to the bit."""
        return {"images": self.images, "steps": self.steps, "strength": asdict(self.strength)}

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, on the CPU."""
        found = {"path_mean": self.path_mean}
        for name, module in self._modules().items():
            found |= {f"{name}/{key}": one for key, one in module.state_dict().items()}
        for name, adam in self._adams().items():
            found |= {f"{name}/{key}": one for key, one in _adam_tensors(adam).items()}
        return {name: one.detach().cpu().contiguous() for name, one in found.items()}

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Take over what `tensors` and `numbers` gave.

        Raises:
            InputError: they are another network's.
        """
        try:
            for name, module in self._modules().items():
                module.load_state_dict(_below(tensors, name))
            for name, adam in self._adams().items():
                _restore_adam(adam, _below(tensors, name))
            self.path_mean.copy_(tensors["path_mean"])
            self.images, self.steps = int(numbers["images"]), int(numbers["steps"])
            self.strength = Strength(**numbers["strength"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"the checkpoint is of other networks: {str(error).splitlines()[0]}",
                do="Resume with the settings that the training was started with.",
            ) from error

    def _modules(self) -> dict[str, nn.Module]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
        }

    def _adams(self) -> dict[str, Adam]:
        return {
            "generator_adam": self.generator_adam,
            "discriminator_adam": self.discriminator_adam,
        }


def new_state(
    settings: GanSettings, size_px: int, classes: int, seed: int, device: torch.device
) -> TrainState:
    """Networks with fresh weights from ``seed``, the same on every device.

    Raises:
        InputError: the kind can't do this size or number of classes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator, discriminator = build(settings, size_px, classes)
    generator, discriminator = generator.to(device), discriminator.to(device)
    average = copy.deepcopy(generator).eval().requires_grad_(False)
    recipe = settings.recipe
    return TrainState(
        generator=generator.train(),
        discriminator=discriminator.train(),
        average=average,
        generator_adam=_adam(
            generator, recipe.generator_rate, recipe, recipe.path_interval, recipe.path_weight
        ),
        discriminator_adam=_adam(
            discriminator, recipe.discriminator_rate, recipe, recipe.r1_interval, recipe.r1_gamma
        ),
        path_mean=torch.zeros((), device=device),
    )


def _adam(network: nn.Module, rate: float, recipe: Recipe, interval: int, weight: float) -> Adam:
    """Adam, made up for the extra steps of lazy regularisation (Karras 2020a, appendix B)."""
    share = interval / (interval + 1) if weight > 0 else 1.0
    betas = (recipe.beta1**share, recipe.beta2**share)
    return Adam(network.parameters(), lr=rate * share, betas=betas, eps=1e-8)


def _adam_tensors(adam: Adam) -> dict[str, Tensor]:
    state = adam.state_dict()["state"]
    return {f"{i}/{key}": one for i, entry in state.items() for key, one in entry.items()}


def _restore_adam(adam: Adam, tensors: dict[str, Tensor]) -> None:
    entries: dict[int, dict[str, Tensor]] = {}
    for name, one in tensors.items():
        number, key = name.split("/")
        entries.setdefault(int(number), {})[key] = one.clone()
    adam.load_state_dict({"state": entries, "param_groups": adam.state_dict()["param_groups"]})


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}/"): one
        for name, one in tensors.items()
        if name.startswith(f"{prefix}/")
    }
