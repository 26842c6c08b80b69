"""The images that the pretrained model is trained on: sources of photographs, synthetic hands, prepared arrays.

None of the photographs is part of the repository; `pretrained/README.md` says where they come from. DATA is the folder
that holds one folder per source.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asl_edge.data.prepare.prepare import PrepareConfig, prepare
from asl_edge.data.prepare.split import SplitPlan
from asl_edge.data.synthetic import synthesize
from asl_edge.data.synthetic.scene import Variety
from asl_edge.imaging.preprocess import opencv
from asl_edge.labels import CLASSES

SOURCES = {
    "kaggle": "kaggle/asl_alphabet_train",
    "phone": "phone",
    "phone-outdoor": "phone-outdoor",
    "studio": "studio",
    "signer-r": "signer-r",
    "signer-m": "signer-m",
    "signer-l": "signer-l",
}
"""Folder below DATA by the name of each source of photographs."""
MIRRORED = ("signer-r", "signer-m", "signer-l")
"""Sources whose images show mirrored hands; preparing mirrors them back."""
VARIETY = {
    "usual": Variety(),
    "wide": Variety(spread=1.8, left=0.2, cut_out=0.35),
    "wider": Variety(spread=1.8, left=0.2, cut_out=0.3, backlit=0.15, idle=0.65),
    "widest": Variety(spread=2.0, left=0.3, cut_out=0.25, backlit=0.2, idle=0.65),
    "rarer": Variety(spread=2.0, left=0.3, cut_out=0.25, backlit=0.2, idle=0.65, rare=0.3),
}
"""How much synthetic hands differ, by name."""

_VALIDATION_SEED, _VALIDATION_PER_CLASS = 99, 40


@dataclass(frozen=True)
class TrainingData:
    """What a training sees."""

    size: int = 128
    """Side of the images in pixels."""
    synthetic: int = 0
    """Synthetic images per class."""
    variety: str = "wider"
    """Name in `VARIETY`."""
    synthetic_seed: int = 1
    validation_synthetic: int = _VALIDATION_PER_CLASS
    """Synthetic images per class to validate on, with `validate_on_synthetic`."""
    mirror: tuple[str, ...] = MIRRORED
    only: tuple[str, ...] = ()
    """Train on these sources of photographs only; empty: on all."""
    leave_out: str | None = None
    """A source to train without."""
    classes: tuple[str, ...] | None = None
    """None takes all that there are."""
    photographs: bool = True
    """Without them, synthetic hands alone are trained on."""
    also: tuple[Path, ...] = ()
    """More folders of images."""
    validate_on_synthetic: bool = False
    """Validate on synthetic hands only: photographs that were for validation are trained on too, and the test split
    keeps the same photographs."""

    def sources(self) -> list[str]:
        """Return the names of the sources of photographs."""
        if not self.photographs:
            return []
        return [name for name in self.only or SOURCES if name != self.leave_out]

    def label(self) -> str:
        """Return the name of the folder of arrays, which differs wherever the images do."""
        parts = [f"arrays-{self.size}" + ("" if self.photographs else "-no-photographs")]
        if set(self.mirror) != set(MIRRORED):
            parts.append(f"mirrored-{'-'.join(sorted(self.mirror))}")
        if self.classes:
            parts.append(f"classes-{'-'.join(self.classes)}")
        if self.only:
            parts.append(f"only-{'-'.join(self.only)}")
        if self.leave_out:
            parts.append(f"without-{self.leave_out}")
        if self.synthetic:
            parts.append(synthetic_label(self.synthetic, self.variety, self.synthetic_seed))
        parts += [folder.name for folder in self.also]
        return "-".join([*parts, *(["synthetic-validation"] if self.validate_on_synthetic else [])])

    def describe(self) -> str:
        """Return what is trained on, in words."""
        parts = [f"{self.synthetic} synthetic per class ({self.variety})" if self.synthetic else "no synthetic images"]
        parts += [folder.name for folder in self.also]
        if set(self.mirror) != set(MIRRORED):
            parts.append(f"mirrored back: {', '.join(self.mirror)}")
        if not self.photographs:
            parts.append("no photographs")
        if self.only:
            parts.append(f"photographs of {', '.join(self.only)} only")
        if self.validate_on_synthetic:
            parts.append("validated on synthetic hands only")
        if self.leave_out:
            parts.append(f"without {self.leave_out}")
        return ", ".join(parts)


def prepare_arrays(chosen: TrainingData, data: Path, work: Path) -> Path:
    """Return the folder of arrays below `work`; prepare them, and draw synthetic hands, where they do not exist yet.

    Args:
        chosen: which images.
        data: the folder of all sources.
        work: where arrays and synthetic hands are kept.

    Raises:
        DataError: a source is missing or damaged.
    """
    names = chosen.sources()
    folders = [data / SOURCES[name] for name in names]
    if chosen.synthetic:
        folders.append(draw_hands(work, chosen, chosen.synthetic, chosen.synthetic_seed))
    folders += chosen.also
    plan, validation = SplitPlan(fractions=(0.82, 0.06, 0.12)) if chosen.photographs else SplitPlan(), []
    if chosen.validate_on_synthetic:  # these shares leave the same images for the test as those above
        plan = SplitPlan(fractions=(0.882, 0.0, 0.118))
        validation = [draw_hands(work, chosen, chosen.validation_synthetic, _VALIDATION_SEED)]
    arrays = work / chosen.label()
    if not arrays.is_dir():
        prepare(
            PrepareConfig(
                (*folders, *validation),
                arrays,
                size=chosen.size,
                classes=chosen.classes,
                split=plan,
                mirror=tuple(str(data / SOURCES[name]) for name in chosen.mirror if name in names),
                val_sources=tuple(map(str, validation)),
            )
        )
    return arrays


def synthetic_label(per_class: int, variety: str, seed: int) -> str:
    """Return the name of a folder of synthetic hands."""
    return f"synthetic-{per_class}-{variety}" + (f"-seed-{seed}" if seed != 1 else "")


def draw_hands(work: Path, chosen: TrainingData, per_class: int, seed: int) -> Path:
    """Return the folder of synthetic hands below `work`; draw them where it does not exist yet.

    Args:
        work: where the folder is kept.
        chosen: classes, variety and size; the hands are drawn a quarter larger than the images that are trained on.
        per_class: images per class.
        seed: another seed shows other people and places.
    """
    folder = work / synthetic_label(per_class, chosen.variety, seed)
    if not folder.is_dir():
        synthesize(
            folder,
            per_class=per_class,
            classes=chosen.classes or CLASSES,
            clip_frames=1,
            seed=seed,
            size=chosen.size * 5 // 4,
            variety=VARIETY[chosen.variety],
        )
    return folder


def mirrored_back(source: Path, folder: Path) -> Path:
    """Copy images to `folder`, flipped left to right without loss, unless they are there; return it."""
    cv2 = opencv()
    if folder.is_dir():
        return folder
    partial = folder.with_name(f"{folder.name}.partial")
    for path in sorted(source.rglob("*.jp*g")):
        target = (partial / path.relative_to(source)).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), cv2.imread(str(path))[:, ::-1])
    partial.rename(folder)
    return folder


def source_of(path: str | Path) -> str | None:
    """Return the name of the source whose folder `path` is, or None."""
    parts = Path(path).parts
    for name, folder in SOURCES.items():
        end = Path(folder).parts
        if parts[-len(end) :] == end:
            return name
    return None


def is_augmented(path: str | Path) -> bool:
    """Whether an image of `dev-rooms` was flipped, greyed or blurred by its publishers."""
    return Path(path).name.startswith("aug_")
