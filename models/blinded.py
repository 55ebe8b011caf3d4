"""The blinded test: can a reviewer tell synthetic crops from real ones? Behind ``sorter review``.

A session is a folder: ``plan.json`` (which crops in which order, and what they are) and
``answers.jsonl``, one line an answer, appended as it is given. Who reviews is shown pictures by
their place in the plan, which says nothing of the truth.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.stats import binomtest

from models.dataset import CropSet, load_crops
from models.metrics import Rate
from sorter.errors import InputError, RunFault, UsageError
from sorter.files import write_atomic

Answer = Literal["real", "synthetic"]
PLAN_FILE, ANSWERS_FILE = "plan.json", "answers.jsonl"


class Item(BaseModel):
    """One crop of a session."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Answer = Field(description="what it is")
    id: str = Field(description="of the crop in its data set")


class Plan(BaseModel):
    """A session, drawn up before anybody looks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    real: str = Field(description="folder of the real crops")
    synthetic: str = Field(description="folder of the synthetic crops")
    real_hash: str = Field(description="sha256 of the real data set")
    synthetic_hash: str = Field(description="sha256 of the synthetic data set")
    label: str = Field(description="class that is shown")
    seed: int
    items: tuple[Item, ...] = Field(min_length=2)


class Given(BaseModel):
    """One answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=0, description="place in the plan")
    answer: Answer
    reviewer: str = Field(min_length=1)
    at: str = Field(description="ISO 8601, UTC")
    seconds: float = Field(ge=0, description="from showing to answering")


@dataclass(frozen=True, slots=True)
class Result:
    """What a reviewer, or all together, achieved.

    Attributes:
        accuracy: share of right answers with its exact 95 % binomial interval.
        p_value: two-sided, of guessing (0.5).
        called_synthetic: of the synthetic ones, and of the real ones (false alarms).
        median_s: time for an answer.
    """

    accuracy: Rate
    p_value: float
    called_synthetic: tuple[Rate, Rate]
    median_s: float


class Session:
    """A session on disk.

    Args:
        folder: made by `draw_up`.

    Raises:
        InputError: it is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            text = (folder / PLAN_FILE).read_text(encoding="utf-8")
            self.plan = Plan.model_validate_json(text)
            self.given = _read_answers(folder / ANSWERS_FILE, len(self.plan.items))
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            raise InputError(
                f"the review can't be read: {str(error).splitlines()[0]}",
                on=folder,
                do="Name a folder that `sorter review --blinded` made.",
            ) from error

    def open_for(self, reviewer: str) -> list[int]:
        """Places in the plan that this reviewer has not answered."""
        done = {one.number for one in self.given if one.reviewer == reviewer}
        return [i for i in range(len(self.plan.items)) if i not in done]

    def add(self, number: int, answer: Answer, reviewer: str, seconds: float) -> Given:
        """Keep an answer; it can't be changed afterwards.

        Raises:
            UsageError: this reviewer has answered it, or there is no such crop.
            RunFault: it can't be written.
        """
        if number not in self.open_for(reviewer):
            raise UsageError(
                f"crop {number} isn't open for {reviewer}", on=self.folder, do="Take the next one."
            )
        given = Given(
            number=number,
            answer=answer,
            reviewer=reviewer,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            seconds=seconds,
        )
        try:
            with (self.folder / ANSWERS_FILE).open("a", encoding="utf-8", newline="\n") as file:
                file.write(given.model_dump_json() + "\n")
        except OSError as error:
            raise RunFault(
                f"the answer can't be written: {error.strerror}",
                on=self.folder,
                do="Free disk space; the answers before are kept.",
            ) from error
        self.given.append(given)
        return given

    def result(self, reviewer: str | None = None) -> Result:
        """Accuracy of one reviewer, or of all answers together.

        Raises:
            InputError: no answers yet.
        """
        given = [one for one in self.given if reviewer in (None, one.reviewer)]
        if not given:
            raise InputError("there are no answers yet", on=self.folder, do="Review some crops.")
        truth = np.array([self.plan.items[one.number].source == "synthetic" for one in given])
        said = np.array([one.answer == "synthetic" for one in given])
        right = int((truth == said).sum())
        return Result(
            accuracy=exact_rate(right, len(given)),
            p_value=float(binomtest(right, len(given), 0.5).pvalue),
            called_synthetic=(_share(said[truth]), _share(said[~truth])),
            median_s=float(np.median([one.seconds for one in given])),
        )

    def images(self) -> dict[int, NDArray[np.uint8]]:
        """(size, size) uint8 by place in the plan.

        Raises:
            InputError: a data set is not the one that the session was drawn up with.
        """
        found: dict[tuple[str, str], NDArray[np.uint8]] = {}
        for source, folder, wanted in (
            ("real", self.plan.real, self.plan.real_hash),
            ("synthetic", self.plan.synthetic, self.plan.synthetic_hash),
        ):
            crops = load_crops(Path(folder))
            if crops.content_hash != wanted:
                raise InputError(
                    f"the {source} crops have changed since the review was drawn up",
                    on=folder,
                    do="Restore them, or draw up a new review.",
                )
            found |= {
                (source, str(name)): image
                for name, image in zip(crops.id, crops.images, strict=True)
            }
        return {i: found[one.source, one.id] for i, one in enumerate(self.plan.items)}


def draw_up(
    folder: Path, real: Path, synthetic: Path, n: int, *, label: str = "unhealthy", seed: int = 0
) -> Session:
    """A new session of ``n`` crops, half real, half synthetic, in random order.

    Real bodies appear once at most.

    Args:
        folder: new.
        real, synthetic: data sets with crops of one size.
        n: crops in all, even, at least 2.
        label: class that is shown.
        seed: of choice and order; with the hashes of both sets, so that it can't be guessed.

    Raises:
        UsageError: the folder exists, or n is odd.
        InputError: too few crops, or of different sizes.
    """
    if folder.exists():
        raise UsageError("the folder exists already", on=folder, do="Name a new one.")
    if n < 2 or n % 2:
        raise UsageError(f"{n} crops can't be half real", on="--n", do="Give an even number.")
    sets = [load_crops(real), load_crops(synthetic)]
    if sets[0].size_px != sets[1].size_px:
        raise InputError(
            f"the real crops have {sets[0].size_px} px, the synthetic ones {sets[1].size_px}",
            on=synthetic,
            do="Show crops of one size: the size would give them away.",
        )
    digest = hashlib.sha256(f"{seed}{sets[0].content_hash}{sets[1].content_hash}".encode())
    rng = np.random.default_rng(int.from_bytes(digest.digest()[:8], "big"))
    names: tuple[Answer, Answer] = ("real", "synthetic")
    items = [
        Item(source=source, id=name)
        for source, crops in zip(names, sets, strict=True)
        for name in _chosen(crops, label, n // 2, source, rng)
    ]
    order = rng.permutation(n)
    plan = Plan(
        real=str(real.absolute()),
        synthetic=str(synthetic.absolute()),
        real_hash=sets[0].content_hash,
        synthetic_hash=sets[1].content_hash,
        label=label,
        seed=seed,
        items=tuple(items[i] for i in order),
    )
    folder.mkdir(parents=True)
    write_atomic(folder / PLAN_FILE, plan.model_dump_json(indent=2) + "\n")
    return Session(folder)


def exact_rate(successes: int, n: int) -> Rate:
    """A share with its exact 95 % interval (Clopper & Pearson 1934)."""
    interval = binomtest(successes, n).proportion_ci(0.95, method="exact")
    return Rate(successes / n, (float(interval.low), float(interval.high)), n)


def _share(said: NDArray[np.bool_]) -> Rate:
    return exact_rate(int(said.sum()), len(said)) if len(said) else Rate(0.0, (0.0, 1.0), 0)


def _chosen(crops: CropSet, label: str, n: int, source: str, rng: np.random.Generator) -> list[str]:
    from models.dataset import LABELS

    order = rng.permutation(np.flatnonzero(crops.label == LABELS.index(label)))
    _, first = np.unique(crops.object[order], return_index=True)
    bodies = order[np.sort(first)]
    if len(bodies) < n:
        raise InputError(
            f"{len(bodies)} {source} {label} bodies are too few for {n}",
            on=source,
            do="Give more, or ask for fewer crops.",
        )
    return [str(crops.id[i]) for i in bodies[:n]]


def _read_answers(file: Path, items: int) -> list[Given]:
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    # A last line without an end was being written when the power went.
    given = [Given.model_validate(json.loads(one)) for one in lines if one.endswith("\n")]
    return [one for one in given if one.number < items]
