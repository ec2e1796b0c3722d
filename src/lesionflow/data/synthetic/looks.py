"""How a synthetic lesion looks: seven overlapping looks, and one photograph of one lesion."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Floats = NDArray[np.floating[Any]]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """One class; strengths are 0 (absent) to 1, colours RGB in 0..255."""

    colour: Colour
    patch: Colour
    """A second colour, in large patches of strength `patches`."""
    patches: float
    ragged: float
    """How far the border strays from a circle, as a share of the radius."""
    soft: float
    """Width of the border, as a share of the radius."""
    network: float = 0.0
    """Brown pigment network (nevus)."""
    dots: float = 0.0
    """Dark dots and plugs (keratosis)."""
    vessels: float = 0.0
    """Thin red branching lines (basal cell carcinoma)."""
    scales: float = 0.0
    """Whitish flakes (actinic keratosis)."""
    lacunae: float = 0.0
    """Round dark red lakes (vascular)."""
    scar: float = 0.0
    """A pale centre (dermatofibroma)."""


LOOKS: dict[str, Look] = {
    "akiec": Look((196, 118, 104), (222, 170, 150), 0.5, 0.12, 0.30, scales=0.8, vessels=0.15),
    "bcc": Look((208, 142, 136), (150, 120, 130), 0.35, 0.10, 0.30, vessels=0.8, scales=0.1),
    "bkl": Look((152, 122, 102), (182, 158, 136), 0.5, 0.08, 0.06, dots=0.8, network=0.1),
    "df": Look((168, 118, 96), (188, 140, 118), 0.3, 0.05, 0.40, scar=0.8, network=0.3),
    "mel": Look((92, 62, 54), (84, 86, 104), 0.8, 0.20, 0.12, network=0.4, dots=0.2),
    "nv": Look((136, 92, 68), (112, 76, 58), 0.4, 0.05, 0.18, network=0.6, dots=0.1),
    "vasc": Look((168, 62, 72), (112, 50, 84), 0.5, 0.08, 0.12, lacunae=0.8),
}

_CELLS = 32  # side of a lesion's random grid; a power of two; noise repeats after that many cells


@dataclass(frozen=True)
class Lesion:
    """One lesion on one person's skin, as all its photographs share it."""

    look: Look
    skin: Floats  # RGB
    radius: float  # share of the image's height
    stretch: float
    waves: Floats  # border: cosine and sine amplitudes of the waves 2..7, shape (2, 6)
    grid: Floats  # uniform 0..1, shape (_CELLS, _CELLS)


def draw_lesion(dx: str, rng: np.random.Generator) -> Lesion:
    """Draw a lesion of class `dx`, more or less typical of it."""
    own, other = LOOKS[dx], LOOKS[str(rng.choice(list(LOOKS)))]
    # Real classes overlap: each lesion borrows up to 15 % of another class's look.
    borrowed = float(rng.uniform(0, 0.15))
    mixed: dict[str, Any] = {}
    for name, value in vars(own).items():
        mean = (1 - borrowed) * np.asarray(value) + borrowed * np.asarray(getattr(other, name))
        if mean.ndim:  # a colour: lighter or darker, and a little of another hue
            mixed[name] = mean + rng.normal(0, 8) + rng.normal(0, 4, 3)
        else:
            mixed[name] = float(mean * rng.uniform(0.5, 1.3))
    look = Look(**mixed)
    tone = float(rng.uniform(0, 1))  # pale to tanned
    skin = (1 - tone) * np.array([232, 188, 176]) + tone * np.array([196, 148, 122]) + rng.normal(0, 4, 3)
    waves = rng.normal(0, 0.7, (2, 6)) * look.ragged / np.array([1.2, 1, 1.3, 1.6, 2, 2.4])
    return Lesion(
        look=look,
        skin=skin.astype(np.float32),
        radius=float(rng.uniform(0.20, 0.36)),
        stretch=float(rng.uniform(1.0, 1.35)),
        waves=waves.astype(np.float32),
        grid=rng.random((_CELLS, _CELLS), np.float32),
    )


def render(lesion: Lesion, rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Photograph a lesion: random pose, light, hair and noise.

    Args:
        lesion: what to photograph.
        rng: decides on the photograph.
        size: width and height in pixels.

    Returns:
        uint8 RGB, shape (height, width, 3).
    """
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x - width / 2) / height, (y - height / 2) / height  # the height is 1
    image = _paint(lesion, *_pose(x, y, rng, lesion.radius))
    slope = rng.normal(0, 0.10, 2).astype(np.float32)
    light = rng.uniform(0.88, 1.12) + slope[0] * x + slope[1] * y - rng.uniform(0, 0.5) * (x * x + y * y)
    image *= light[..., None] * rng.normal(1, 0.018, 3).astype(np.float32)
    image = _hair(image, rng)
    image += rng.normal(0, rng.uniform(1, 5)) + rng.standard_normal((height, width, 3), np.float32) * 4
    return np.clip(image, 0, 255).astype(np.uint8)


def _pose(x: Floats, y: Floats, rng: np.random.Generator, radius: float) -> tuple[Floats, Floats]:
    """Image coordinates to the lesion's own, whose radius is 1."""
    x, y = x - rng.normal(0, 0.06), y - rng.normal(0, 0.05)
    angle, zoom = rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.25) * radius
    if rng.random() < 0.5:
        x = -x
    cos, sin = np.float32(np.cos(angle) / zoom), np.float32(np.sin(angle) / zoom)
    return cos * x - sin * y, sin * x + cos * y


def _paint(lesion: Lesion, u: Floats, v: Floats) -> Floats:
    """The skin and the lesion in even light, in the lesion's own coordinates; RGB, shape (height, width, 3)."""
    look, grid = lesion.look, lesion.grid
    coarse = _noise(grid, 1.3 * u, 1.3 * v)
    # Bend the coordinates of everything inside, or the noise's square cells show.
    u_bent = u + 0.5 * coarse + 0.35 * _noise(grid, 2.1 * v + 17, 2.1 * u + 21)
    v_bent = v - 0.5 * coarse + 0.35 * _noise(grid, 2.1 * u + 25, 2.1 * v + 29)
    fine = _noise(grid, 5 * u_bent, 5 * v_bent)
    image = lesion.skin * (0.94 + 0.08 * coarse + 0.04 * fine)[..., None]

    along = v * np.float32(lesion.stretch)
    distance = np.sqrt(u * u + along * along)
    angle = np.arctan2(along, u)
    border = np.float32(1) + 0.15 * look.ragged * (fine - 0.5)
    for wave, (cosine, sine) in enumerate(lesion.waves.T, start=2):
        border += cosine * np.cos(wave * angle) + sine * np.sin(wave * angle)
    inside = _smooth((border - distance) / max(look.soft, 0.03) + 0.5)

    patch = _smooth(4 * _noise(grid, 1.7 * u_bent + 9, 1.7 * v_bent + 9) - 1.6) * look.patches
    body = np.asarray(look.colour, np.float32) * (0.85 + 0.3 * coarse)[..., None]
    body = _over(body, look.patch, patch)
    if look.network > 0.05:
        lines = np.abs(np.sin(11 * u_bent + 2 * fine) * np.sin(11 * v_bent + 2 * fine))
        body *= (1 - 0.45 * look.network * _smooth(1 - 3 * lines))[..., None]
    if look.dots > 0.05:
        body = _over(body, (70, 52, 44), look.dots * _smooth(6 * _noise(grid, 6 * u_bent + 5, 6 * v_bent) - 4.2))
    if look.vessels > 0.05:
        ridge = 1 - np.abs(2 * _noise(grid, 2.6 * u_bent + 3, 2.6 * v_bent + 7) - 1) * 7
        body = _over(body, (188, 58, 62), look.vessels * _smooth(ridge))
    if look.scales > 0.05:
        flakes = _noise(grid, 6 * u_bent + 2, 4 * v_bent + 11)
        body = _over(body, (240, 226, 208), look.scales * _smooth(5 * flakes - 3))
    if look.lacunae > 0.05:
        lakes = _noise(grid, 3.2 * u_bent + 13, 3.2 * v_bent + 4)
        body = _over(body, (98, 16, 40), look.lacunae * _smooth(6 * lakes - 3))
    if look.scar > 0.05:
        centre = np.exp(-6 * distance * distance * (0.7 + 0.6 * fine))
        body = _over(body, (236, 214, 204), look.scar * centre)
    return image + inside[..., None] * (body - image)


def _over(under: Floats, colour: Colour, opacity: Floats) -> Floats:
    return under + opacity[..., None] * (np.asarray(colour, np.float32) - under)


def _smooth(value: Floats) -> Floats:
    """0 below 0, 1 above 1, a smooth step between."""
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)


def _noise(grid: Floats, x: Floats, y: Floats) -> Floats:
    """Value noise: the random grid, repeated, smoothly interpolated; 0 to 1."""
    left, top = np.floor(x), np.floor(y)
    right, down = _smooth(x - left), _smooth(y - top)
    # Flat indices into the grid, as `take` is much faster than two-dimensional indexing; & is the repetition.
    cells, last = grid.ravel(), _CELLS - 1
    i, j = left.astype(np.int64), top.astype(np.int64)
    i0, i1, j0, j1 = i & last, (i + 1) & last, (j & last) * _CELLS, ((j + 1) & last) * _CELLS
    above = cells.take(j0 + i0) * (1 - right) + cells.take(j0 + i1) * right
    below = cells.take(j1 + i0) * (1 - right) + cells.take(j1 + i1) * right
    return above * (1 - down) + below * down


def _hair(image: Floats, rng: np.random.Generator) -> Floats:
    """Draw hairs over three images in ten."""
    if rng.random() > 0.3:
        return image
    height, width = image.shape[:2]
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    t = np.linspace(0, 1, 16)[:, None]
    for _ in range(rng.integers(2, 9)):
        start, bend, end = rng.uniform(-0.1, 1.1, (3, 2)) * (width, height)
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * (0.7 * (start + end) / 2 + 0.3 * bend) + t**2 * end
        draw.line([(float(px), float(py)) for px, py in curve], fill=170, width=max(1, round(height / 150)))
    opacity = np.asarray(mask, np.float32) / 255
    return _over(image, (48, 36, 30), opacity)
