"""Augmentation: what must not change does not, and the seed decides the rest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.augment import NO_AUGMENT, AugmentSettings, augment, mix_up, turn_and_flip


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def crops(n: int, size: int = 16) -> torch.Tensor:
    return torch.rand(n, 1, size, size, generator=generator(9)) * 200


def test_nothing_asked_nothing_done() -> None:
    batch = crops(8)
    assert torch.allclose(augment(batch, 160, NO_AUGMENT, generator()), batch, atol=1e-4)


def test_the_input_is_left_alone() -> None:
    batch = crops(32)
    before = batch.clone()
    augment(batch, 160, AugmentSettings(cutout_share=1, blur_share=1, warp_share=1), generator())
    assert torch.equal(batch, before)


def test_seed_decides() -> None:
    batch = crops(16)
    one, same, other = (augment(batch, 160, AugmentSettings(), generator(s)) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_all_eight_symmetries_and_no_other() -> None:
    one = crops(1)
    image = one[0, 0].numpy()
    wanted = {
        np.rot90(flipped, k).tobytes() for flipped in (image, image[:, ::-1]) for k in range(4)
    }
    turned = turn_and_flip(one.repeat(200, 1, 1, 1), generator())
    assert {turn[0].numpy().tobytes() for turn in turned} == wanted


@pytest.mark.parametrize("seed", range(3))
def test_stays_in_range_and_keeps_the_background(seed: int) -> None:
    batch = torch.full((64, 1, 32, 32), 160.0)
    batch[:, :, 12:20, 12:20] = 40.0
    out = augment(batch, 160, AugmentSettings(noise=0, brightness=0), generator(seed))
    assert float(out.min()) >= 0
    assert float(out.max()) <= 255
    # Nothing reaches the corner from 8 px in the middle; the background must still be level.
    assert torch.allclose(out[:, :, :4, :4], torch.tensor(160.0), atol=0.01)


def test_turning_keeps_the_mass_of_what_is_inside() -> None:
    batch = torch.full((64, 1, 32, 32), 160.0)
    batch[:, :, 10:22, 12:20] = 60.0
    settings = NO_AUGMENT.model_copy(update={"warp_share": 1.0, "scale": 0.0, "shift_px": 2.0})
    out = augment(batch, 160, settings, generator())
    mass = (160 - out).sum((1, 2, 3))
    assert torch.allclose(mass, torch.tensor(12 * 8 * 100.0), rtol=0.02)


def test_blur_and_cutout_do_what_they_say() -> None:
    batch = crops(16)
    blurred = augment(batch, 160, NO_AUGMENT.model_copy(update={"blur_share": 1.0}), generator())
    assert (blurred.var((1, 2, 3)) < batch.var((1, 2, 3))).all()
    hole = NO_AUGMENT.model_copy(update={"cutout_share": 1.0, "cutout_px": 5})
    changed = augment(batch, 160, hole, generator()) == 160
    assert (changed.sum((1, 2, 3)) == 25).all()


def test_bending_moves_what_is_inside_and_keeps_the_background() -> None:
    batch = torch.full((32, 1, 32, 32), 160.0)
    batch[:, :, 10:22, 12:20] = 60.0
    settings = NO_AUGMENT.model_copy(update={"elastic_share": 1.0, "elastic_px": 1.5})
    out = augment(batch, 160, settings, generator())
    assert ((out - batch).abs().amax((1, 2, 3)) > 5).all()
    assert torch.allclose(out[:, :, :2, :2], torch.tensor(160.0), atol=0.01)
    mass = (160 - out).sum((1, 2, 3))
    assert torch.allclose(mass.mean(), torch.tensor(12 * 8 * 100.0), rtol=0.1)


def test_mix_up_mixes_crops_and_targets_alike() -> None:
    # Crop i is level i, and its target says i as well: after mixing they must still agree.
    batch = torch.arange(8.0)[:, None, None, None].expand(8, 1, 4, 4)
    target = torch.stack([torch.arange(8.0) / 7, 1 - torch.arange(8.0) / 7], 1)
    mixed, soft = mix_up(batch, target, 0.4, generator())
    assert torch.allclose(mixed[:, 0, 0, 0] / 7, soft[:, 0], atol=1e-6)
    assert torch.allclose(soft.sum(1), torch.ones(8))
    assert not torch.equal(mixed, batch)
    same, _ = mix_up(batch, target, 0.0, generator())
    assert torch.equal(same, batch)
