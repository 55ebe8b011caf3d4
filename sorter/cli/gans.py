"""`sorter train gan`, `synthesize`, `quality`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sorter.cli.app import JsonFlag, console_err, console_out, put_json, told
from sorter.cli.progress import bar, needs_train
from sorter.errors import UsageError

Seed = Annotated[int, typer.Option(min=0, help="everything random")]


class KindName(StrEnum):
    """The networks."""

    dcgan = "dcgan"
    biggan = "biggan"
    stylegan2_ada = "stylegan2-ada"


class PresetName(StrEnum):
    """Sizes of the networks."""

    auto = "auto"
    paper = "paper"
    cpu = "cpu"


class AugmentName(StrEnum):
    """What the discriminator's images go through."""

    default = "default"
    none = "none"
    ada = "ada"
    diffaugment = "diffaugment"


def register(app: typer.Typer) -> None:
    """Add the subcommands that stand at the top."""


@told
def train_gan(
    kind: Annotated[KindName, typer.Option(help="which network")],
    data: Annotated[Path, typer.Option(help="data set: images/ and labels.csv")],
    out: Annotated[Path, typer.Option(help="folder of the training")],
    size: Annotated[int, typer.Option(help="side of the images, px: 32 to 256")] = 64,
    images: Annotated[int, typer.Option(min=1, help="real images shown, in all")] = 1_000_000,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="go on where it stopped")] = False,
    preset: Annotated[
        PresetName,
        typer.Option(help="paper: the papers' networks; cpu: small ones; auto: by device"),
    ] = PresetName.auto,
    augment: Annotated[
        AugmentName, typer.Option(help="of what the discriminator sees; default: the kind's own")
    ] = AugmentName.default,
    label: Annotated[str, typer.Option(help="class that is learnt")] = "unhealthy",
    condition: Annotated[
        str, typer.Option(help="none, or phenotype: the generator can be asked for each")
    ] = "none",
    part: Annotated[
        str, typer.Option(help="all, or train: leave out the runs held back by --split-seed")
    ] = "all",
    split_seed: Annotated[int, typer.Option(min=0, help="of the split by run")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="images of the class, at most")] = None,
    patience: Annotated[
        int, typer.Option(min=0, help="evaluations without a better KID that end it; 0: never")
    ] = 10,
    evaluate_every: Annotated[
        int, typer.Option(min=0, help="images between evaluations; 0: a twentieth")
    ] = 0,
    precision: Annotated[str, typer.Option(help="32-true, or bf16-mixed")] = "32-true",
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
    as_json: JsonFlag = False,
) -> None:
    """Train a GAN on one class; several GPUs: torchrun --nproc-per-node N --no-python sorter …

    Example: sorter train gan --kind stylegan2-ada --data crops --out gan --size 64 --images 400000
    """
    with needs_train():
        import torch
        from pydantic import ValidationError

        from models.gan.kinds import PRESETS
        from models.gan.training import GanTraining
        from models.train_gan import train_gan as train
    from sorter.processes import interrupts_noted

    chosen = preset.value
    if chosen == "auto":
        has_gpu = accelerator != "cpu" and torch.cuda.is_available()
        chosen = "paper" if has_gpu else "cpu"
        console_err().print(f"preset: {chosen} ({'a GPU' if has_gpu else 'no GPU'} was found)")
    settings = PRESETS[kind.value, "paper" if chosen == "paper" else "cpu"]
    if augment is not AugmentName.default:
        recipe = settings.recipe.model_copy(update={"augment": augment.value})
        settings = settings.model_copy(update={"recipe": recipe})
    try:
        training = GanTraining.model_validate(
            {
                "gan": settings.model_dump(),
                "size_px": size,
                "images": images,
                "seed": seed,
                "label": label,
                "condition": condition,
                "part": part,
                "split_seed": split_seed,
                "limit": limit,
                "patience": patience,
                "evaluate_every": evaluate_every,
                "precision": precision,
                "accelerator": accelerator,
                "threads": threads,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        key = "--" + str(first["loc"][0]).replace("_", "-")
        raise UsageError(first["msg"], on=key, do="See `sorter train gan --help`.") from error
    with interrupts_noted() as interrupts, bar("training", images) as advance:
        outcome = train(
            data,
            out,
            training,
            resume=resume,
            progress=advance,
            stop=lambda: interrupts.count > 0,
        )
    facts = {
        "folder": str(out),
        "ended": outcome.ended,
        "images": outcome.images,
        "best": str(outcome.best),
        "kid": outcome.kid,
        "images_per_s": outcome.images_per_s,
    }
    if outcome.ended == "stopped":
        console_err().print(f"stopped after {outcome.images} images; go on with --resume")
        raise KeyboardInterrupt
    if as_json:
        put_json(facts)
    else:
        why = {"images": "all images were shown", "patience": "KID no longer improved"}
        console_out().print(
            f"{outcome.images} images ({why[outcome.ended]}), {outcome.images_per_s:.1f} images/s; "
            f"best: {outcome.best} (KID {outcome.kid:.4f})"
        )
