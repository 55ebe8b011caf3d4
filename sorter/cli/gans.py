"""`sorter train gan`, `synthesize`, `gan quality|export`."""

from __future__ import annotations

import functools
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sorter.cli.app import JsonFlag, console_err, console_out, put_json, told
from sorter.cli.progress import bar, needs_train
from sorter.errors import UsageError

if TYPE_CHECKING:
    from models.gan.training import GanTraining, Outcome
    from sorter.processes import Interrupts

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


Data = Annotated[Path, typer.Option(help="data set: images/ and labels.csv")]
PresetOption = Annotated[
    PresetName, typer.Option(help="paper: the papers' networks; cpu: small ones; auto: by device")
]
AugmentOption = Annotated[
    AugmentName, typer.Option(help="of what the discriminator sees; default: the kind's own")
]
Gamma = Annotated[
    float | None,
    typer.Option(min=0, help="weight of R1, the penalty on D's gradient; default: the preset's"),
]
Batch = Annotated[int | None, typer.Option(min=2, help="images in a step; default: the preset's")]
Condition = Annotated[
    str, typer.Option(help="none, or phenotype: the generator can be asked for each")
]
Part = Annotated[
    str, typer.Option(help="all, or train: leave out the runs held back by --split-seed")
]
Limit = Annotated[int | None, typer.Option(min=1, help="images of the class, at most")]
Patience = Annotated[
    int, typer.Option(min=0, help="evaluations without a better KID that end it; 0: never")
]
EvaluateEvery = Annotated[
    int, typer.Option(min=0, help="images between evaluations; 0: a twentieth")
]
FeatureCrops = Annotated[
    int, typer.Option(min=100, help="crops shown to the network that KID is measured in")
]
CheckpointOption = Annotated[
    Path, typer.Option(help="folder of a training (its best is used), or one checkpoint")
]


def register(app: typer.Typer) -> None:
    """Add the subcommands that stand at the top, and the group `gan`."""
    app.command("synthesize")(synthesize)
    group = typer.Typer(help="Generators that were trained: how good they are, and as ONNX.")
    group.command("quality")(quality)
    group.command("export")(export)
    app.add_typer(group, name="gan", no_args_is_help=True)


@told
def train_gan(
    kind: Annotated[KindName, typer.Option(help="which network")],
    data: Data,
    out: Annotated[Path, typer.Option(help="folder of the training")],
    size: Annotated[int, typer.Option(help="side of the images, px: 32 to 256")] = 64,
    images: Annotated[int, typer.Option(min=1, help="real images shown, in all")] = 1_000_000,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="go on where it stopped")] = False,
    preset: PresetOption = PresetName.auto,
    augment: AugmentOption = AugmentName.default,
    gamma: Gamma = None,
    batch: Batch = None,
    label: Annotated[str, typer.Option(help="class that is learnt")] = "unhealthy",
    condition: Condition = "none",
    part: Part = "all",
    split_seed: Annotated[int, typer.Option(min=0, help="of the split by run")] = 0,
    limit: Limit = None,
    patience: Patience = 10,
    evaluate_every: EvaluateEvery = 0,
    feature_crops: FeatureCrops = 40_000,
    precision: Annotated[str, typer.Option(help="32-true, or bf16-mixed")] = "32-true",
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
    as_json: JsonFlag = False,
) -> None:
    """Train a GAN on one class; several GPUs: torchrun --nproc-per-node N --no-python sorter …

    Example: sorter train gan --kind stylegan2-ada --data crops --out gan --size 64 --images 400000
    """
    with needs_train():
        from models.train_gan import train_gan as train
    from sorter.processes import interrupts_noted

    training = _training(
        (kind.value, preset.value),
        {"augment": augment.value, "r1_gamma": gamma, "batch": batch},
        {
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
            "features": {"crops": feature_crops},
            "precision": precision,
            "accelerator": accelerator,
            "threads": threads,
        },
    )
    with interrupts_noted() as interrupts, bar("training", images) as advance:
        stop = functools.partial(_interrupted, interrupts)
        outcome = train(data, out, training, resume=resume, progress=advance, stop=stop)
    _tell_outcome(out, outcome, as_json)


def _interrupted(interrupts: Interrupts) -> bool:
    return interrupts.count > 0


def _training(
    network: tuple[str, str], recipe: dict[str, Any], values: dict[str, Any]
) -> GanTraining:
    """Settings of a training from what was asked for; the preset is chosen here.

    Args:
        network: kind and preset.
        recipe: what replaces the preset's own, where it is neither None nor ``default``.
        values: all else.
    """
    from pydantic import ValidationError

    from models.gan.kinds import preset_of
    from models.gan.training import GanTraining
    from models.train_gan import gpu_found

    kind, chosen = network
    if chosen == "auto":
        found = values["accelerator"] != "cpu" and gpu_found()
        chosen = "paper" if found else "cpu"
        console_err().print(f"preset: {chosen} ({'a GPU' if found else 'no GPU'} was found)")
    own = {name: value for name, value in recipe.items() if value not in (None, "default")}
    settings = preset_of(kind, chosen, **own)
    try:
        return GanTraining.model_validate(values | {"gan": settings.model_dump()})
    except ValidationError as error:
        first = error.errors()[0]
        key = "--" + str(first["loc"][0]).replace("_", "-")
        raise UsageError(first["msg"], on=key, do="See `sorter train gan --help`.") from error


def _tell_outcome(out: Path, outcome: Outcome, as_json: bool) -> None:
    if outcome.ended == "stopped":
        console_err().print(f"stopped after {outcome.images} images; go on with --resume")
        raise KeyboardInterrupt
    facts = {
        "folder": str(out),
        "ended": outcome.ended,
        "images": outcome.images,
        "best": str(outcome.best),
        "kid": outcome.kid,
        "images_per_s": outcome.images_per_s,
    }
    if as_json:
        put_json(facts)
    else:
        why = {"images": "all images were shown", "patience": "KID no longer improved"}
        console_out().print(
            f"{outcome.images} images ({why[outcome.ended]}), {outcome.images_per_s:.1f} images/s; "
            f"best: {outcome.best} (KID {outcome.kid:.4f})"
        )


@told
def synthesize(
    checkpoint: CheckpointOption,
    n: Annotated[int, typer.Option("--n", min=1, help="images")],
    out: Annotated[Path, typer.Option(help="new folder")],
    seed: Seed = 0,
    truncation: Annotated[
        float, typer.Option(min=0.05, max=1.0, help="below 1: less variety, fewer odd ones")
    ] = 1.0,
    condition: Annotated[str | None, typer.Option(help="class to ask for; all by default")] = None,
    filtered: Annotated[
        bool, typer.Option("--filter", help="keep what is in the domain, varied and no near-copy")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="the data set that was trained on, for --filter")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw images and write them as a data set with a manifest.

    Example: sorter synthesize --checkpoint gan --n 2000 --out drawn --seed 1
    """
    with needs_train():
        from models.synthesize import FilterSettings
        from models.synthesize import synthesize as write
    with bar("drawing", n) as advance:
        manifest = write(
            checkpoint,
            out,
            n,
            seed=seed,
            truncation=truncation,
            condition=condition,
            filtering=FilterSettings() if filtered else None,
            data=data,
            progress=advance,
        )
    if as_json:
        put_json(manifest | {"folder": str(out)})
    else:
        thrown = ", ".join(f"{count} {why}" for why, count in manifest["rejected"].items())
        console_out().print(f"{n} images in {out}" + (f" (left out: {thrown})" if thrown else ""))


@told
def quality(
    checkpoint: CheckpointOption,
    data: Annotated[Path, typer.Option(help="the data set that was trained on")],
    out: Annotated[Path, typer.Option(help="folder for quality.json and quality.html")],
    n: Annotated[int, typer.Option("--n", min=40, help="images drawn")] = 2000,
    shown: Annotated[
        int, typer.Option(min=100, help="crops shown to the network that tells real from drawn")
    ] = 60_000,
    seed: Seed = 0,
    as_json: JsonFlag = False,
) -> None:
    """Measure a generator against the images that it was trained on; one page with grids.

    Example: sorter gan quality --checkpoint gan --data crops --out gan/quality
    """
    with needs_train():
        from models.quality import judge
        from models.two_sample import TwoSampleSettings
    telling = TwoSampleSettings(crops=shown)
    with bar("measuring", 5) as advance:
        figures = judge(
            checkpoint, data, out, n=n, seed=seed, two_sample_settings=telling, progress=advance
        )
    if as_json:
        put_json(figures)
    else:
        told_apart = figures["two_sample"]
        low, high = told_apart["interval"]
        by_features = figures["two_sample_in_features"]["value"]
        console_out().print(
            f"KID {figures['kid']['value']:.4f} ± {figures['kid']['error']:.4f}, "
            f"told from real by pixels {told_apart['value']:.3f} ({low:.3f} to {high:.3f}), "
            f"by features {by_features:.3f}; "
            f"page: {out / 'quality.html'}"
        )


@told
def export(
    checkpoint: CheckpointOption,
    out: Annotated[Path, typer.Option(help="file to write, .onnx")],
    truncation: Annotated[
        float, typer.Option(min=0.05, max=1.0, help="of styles, in the graph")
    ] = 1.0,
    as_json: JsonFlag = False,
) -> None:
    """Write a generator as ONNX, checked against torch.

    Example: sorter gan export --checkpoint gan --out generator.onnx
    """
    with needs_train():
        from models.gan.checkpoint import load_checkpoint
        from models.gan.onnx_export import export_generator
        from models.synthesize import load_generator
    from sorter.files import write_atomic

    loaded = load_checkpoint(checkpoint)
    data = export_generator(load_generator(loaded), truncation)
    write_atomic(out, data)
    if as_json:
        put_json({"file": str(out), "bytes": len(data), "checkpoint_sha256": loaded.about.sha256})
    else:
        console_out().print(f"{out} ({len(data) / 1e6:.1f} MB)")
