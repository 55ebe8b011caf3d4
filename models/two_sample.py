"""Two-sample classifier test (Lopez-Paz & Oquab 2017): can a network tell real from drawn?

Half of the images train it, the other half is asked: accuracy 0.5 means that it can't tell. The
halves share no body. What it says is only as good as the network; so it is to be shown what it
should not be able to tell (real against real) and what it should (an early checkpoint).

The test on pixels is the stricter one: a network of its own finds whatever differs, be it half a
grey level in the background. The test on features asks whether what a network trained in the domain
makes of the images differs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from models.augment import turn_and_flip
from models.classifier import NetSettings, SpheroidNet
from models.metrics import Rate, rate
from sorter.errors import InputError

Images = NDArray[np.uint8]
Features = NDArray[np.float32]
_FOLDS = 5


class TwoSampleSettings(BaseModel):
    """How the telling network is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crops: int = Field(default=60_000, ge=100, description="crops shown in training")
    batch: int = Field(default=64, ge=8, description="crops in a step")
    learning_rate: float = Field(default=3e-3, gt=0, description="AdamW's, at its highest")
    background: int = Field(default=160, ge=1, le=255, description="of the crops; grey level")
    net: NetSettings = NetSettings(dropout=0.2)


def two_sample(
    real: Images,
    drawn: Images,
    *,
    real_body: NDArray[np.str_] | None = None,
    drawn_body: NDArray[np.str_] | None = None,
    settings: TwoSampleSettings | None = None,
    seed: int = 0,
) -> Rate:
    """Share of held-out images that the network calls rightly, real and drawn in equal numbers.

    Args:
        real, drawn: (n, size, size) and (m, size, size) uint8; of the longer a part is left out.
        real_body, drawn_body: names of bodies; views of one stay on one side. None: each image is
            a body of its own.
        settings: of the network.
        seed: of halves, weights and order.

    Raises:
        InputError: fewer than forty images on one side.
    """
    settings = settings or TwoSampleSettings()
    _check_enough(len(real), len(drawn))
    rng = np.random.default_rng(seed)
    sides = [_halves(len(real), real_body, rng), _halves(len(drawn), drawn_body, rng)]
    counts = [min(len(sides[0][half]), len(sides[1][half])) for half in (0, 1)]
    parts = []
    for half in (0, 1):
        images = [set_[sides[i][half][: counts[half]]] for i, set_ in enumerate((real, drawn))]
        label = np.repeat([0, 1], counts[half])
        parts.append((np.concatenate(images), label))
    net = _fit(*parts[0], settings, seed)
    return rate(_called(net, parts[1][0]) == parts[1][1])


def two_sample_in_features(
    real: Features,
    drawn: Features,
    *,
    real_body: NDArray[np.str_] | None = None,
    drawn_body: NDArray[np.str_] | None = None,
    seed: int = 0,
) -> Rate:
    """Share of images that logistic regression calls rightly, each by one fitted without its body.

    Args:
        real, drawn: (n, features) and (m, features); of the longer a part is left out.
        real_body, drawn_body: as for `two_sample`.
        seed: of what is left out and of the folds.

    Raises:
        InputError: fewer than forty images on one side.
    """
    _check_enough(len(real), len(drawn))
    rng = np.random.default_rng(seed)
    count = min(len(real), len(drawn))
    rows = [np.sort(rng.permutation(len(one))[:count]) for one in (real, drawn)]
    features = np.concatenate([real[rows[0]], drawn[rows[1]]])
    label = np.repeat([0, 1], count)
    bodies = [
        np.array([f"{name} {i}" for i in range(len(one))]) if body is None else body
        for name, one, body in (("real", real, real_body), ("drawn", drawn, drawn_body))
    ]
    groups = np.concatenate([body[row] for body, row in zip(bodies, rows, strict=True)])
    called = cross_val_predict(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        features,
        label,
        groups=groups,
        cv=StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed),
    )
    return rate(called == label)


def _check_enough(real: int, drawn: int) -> None:
    if min(real, drawn) < 40:
        raise InputError(
            f"{min(real, drawn)} images are too few to tell two sets apart",
            on="two-sample test",
            do="Give forty or more of each.",
        )


def _halves(
    n: int, body: NDArray[np.str_] | None, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of two halves in random order, no body in both."""
    names = np.arange(n).astype(np.str_) if body is None else body
    unique = rng.permutation(np.unique(names))
    first = np.isin(names, unique[: len(unique) // 2])
    order = rng.permutation(n)
    return order[first[order]], order[~first[order]]


def _fit(images: Images, label: NDArray[np.int64], s: TwoSampleSettings, seed: int) -> SpheroidNet:
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = SpheroidNet(2, s.background, s.net)
        optimiser = torch.optim.AdamW(net.parameters(), lr=s.learning_rate, weight_decay=0.05)
        steps = max(1, s.crops // s.batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, s.learning_rate, steps)
        tensor, target = torch.from_numpy(images)[:, None], torch.from_numpy(label)
        for _ in range(steps):
            pick = torch.randint(0, len(tensor), (s.batch,), generator=generator)
            batch = turn_and_flip(tensor[pick].float(), generator)
            loss = functional.cross_entropy(net(batch), target[pick], label_smoothing=0.05)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return net.eval()


def _called(net: SpheroidNet, images: Images) -> NDArray[np.intp]:
    """(n,) 0 for real, 1 for drawn; the eight attitudes of an image vote."""
    votes = []
    with torch.inference_mode():
        for start in range(0, len(images), 256):
            batch = torch.from_numpy(images[start : start + 256])[:, None].float()
            total: Tensor = torch.zeros(len(batch), 2)
            for k in range(4):
                turned = torch.rot90(batch, k, (2, 3))
                total = total + net(turned) + net(turned.flip(3))
            votes.append(total.argmax(1).numpy())
    return np.concatenate(votes)
