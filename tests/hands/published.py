"""What is published of hands: chains, masses, postures."""

from dataclasses import dataclass

Axis = tuple[float, float, float]
BEND, ABDUCT, ABOUT, OTHER, DOWN = (-1, 0, 0), (0, 1, 0), (0, 0, 1), (0, -1, 0), (0, 0, -1)
"""Axes of joints."""


@dataclass(frozen=True)
class Link:
    """A link, named as the joint that turns it: its place and turn in its parent, as published."""

    joint: str
    at: tuple[float, float, float] = (0, 0, 0)
    axis: Axis = BEND
    turn: tuple[float, float, float, float] = (1, 0, 0, 0)
    """w x y z, unnormalised."""


@dataclass(frozen=True)
class Published:
    """What is known of a hand, in m, kg and rad, in the palm frame or that of a link."""

    mass: float
    drives: int
    chains: dict[str, tuple[Link, ...]]
    """Of each finger."""
    tips: dict[str, tuple[float, float, float]]
    """On the pad, in the last link."""
    synergy: dict[str, dict[str, float]]
    """Which joints a flexion of a person turns, and how far from 0 to 1."""
    still: dict[str, float]
    """Joints that are not at 0 in the open hand."""
    pinch: dict[str, float]
    """Thumb against index finger."""
    around: dict[str, float]
    """All around a cylinder of 6 cm that lies across."""
    cylinder: tuple[float, float]
    """Its y and z."""


def bend(finger: str, *angles: float) -> dict[str, float]:
    """Return angles of the joints that bend a finger, from the palm on."""
    return dict(
        zip((f"{finger}_{part}" for part in ("proximal", "middle", "distal")), angles, strict=True)
    )


def thumb(names: str, *angles: float) -> dict[str, float]:
    return dict(zip((f"thumb_{part}" for part in names.split()), angles, strict=True))


def bent(fingers: tuple[str, ...], *gains: float) -> dict[str, dict[str, float]]:
    return {finger: bend(finger, *gains) for finger in fingers}


def leap() -> Published:
    def finger(name: str, *at: float) -> tuple[Link, ...]:
        return (
            Link(f"{name}_proximal", at),
            Link(f"{name}_spread", (0, 0.0008, 0.0381), ABDUCT),
            Link(f"{name}_middle", (0, 0, 0.015)),
            Link(f"{name}_distal", (0, 0, 0.0361)),
        )

    names, turned = ("index", "middle", "ring"), "rotation twist proximal distal"
    return Published(
        mass=0.746,
        drives=16,
        chains={
            "index": finger("index", -0.0455, 0.0072, 0.093),
            "middle": finger("middle", -0.0001, 0.0072, 0.0929),
            "ring": finger("ring", 0.0453, 0.0072, 0.09291),
            "thumb": (
                Link("thumb_rotation", (-0.0358, 0.0101, 0.0307), OTHER, (0.5, 0.5, -0.5, -0.5)),
                Link("thumb_twist", (0, -0.013, 0.0143), ABOUT),
                Link("thumb_proximal", (0, 0, 0.017)),
                Link("thumb_distal", (0, 0, 0.0466)),
            ),
        },
        tips={**dict.fromkeys(names, (0.0004, 0.0125, 0.0386)), "thumb": (0.0002, 0.013, 0.0506)},
        synergy={
            # further than the published 1.451 and .058: opposite the gap of index and middle
            "thumb_rotation": thumb("rotation twist", 1.68, 0.067),
            "thumb": thumb("proximal distal", 1.4, 1.0),
            **bent(names, 1.9, 1.5, 0.9),
        },
        still={},
        pinch=bend("index", 0.495 * 1.9, 0.495 * 1.5, 0.495 * 0.9)
        | thumb(turned, 1.451, 0.058, 0.298 * 1.4, 0.298),
        around={key: q for name in names for key, q in bend(name, 0.11, 1.35, 0.82).items()}
        | thumb(turned, 1.62, 0.07, 0.75, 0.53),
        cylinder=(0.047, 0.098),
    )


def allegro() -> Published:
    def finger(name: str, at: tuple[float, float, float], tilt: float = 0.0) -> tuple[Link, ...]:
        return (
            Link(f"{name}_spread", at, ABOUT, (0.999, 0, tilt, 0)),
            Link(f"{name}_proximal", (0, 0, 0.0164)),
            Link(f"{name}_middle", (0, 0, 0.054)),
            Link(f"{name}_distal", (0, 0, 0.0384)),
        )

    names, turned = ("index", "middle", "ring"), "rotation twist proximal distal"
    root = (0.4777, 0.5213, -0.5213, -0.4777)
    around = {
        **bend("index", 0.29, 1.38, 0.84),
        **bend("middle", 0.42, 1.36, 0.82),
        **bend("ring", 0.29, 1.38, 0.84),
    }
    return Published(
        mass=0.955,
        drives=16,
        chains={
            "index": finger("index", (-0.0435, 0.0093, 0.09346), -0.0436),
            "middle": finger("middle", (0, 0.0093, 0.0957)),
            "ring": finger("ring", (0.0435, 0.0093, 0.09346), 0.0436),
            "thumb": (
                Link("thumb_rotation", (-0.01933, -0.0089, 0.04901), OTHER, root),
                Link("thumb_twist", (-0.005, -0.027, 0.0399), ABOUT),
                Link("thumb_proximal", (0, 0, 0.0177)),
                Link("thumb_distal", (0, 0, 0.0514)),
            ),
        },
        tips={**dict.fromkeys(names, (0, 0.012, 0.0267)), "thumb": (0, 0.012, 0.0423)},
        synergy={
            # to the end of its range, further than the published .969 and .154
            "thumb_rotation": thumb("rotation twist", 1.133, 0.18),
            "thumb": thumb("proximal distal", 1.6, 1.0),
            **bent(names, 1.5, 1.5, 0.9),
        },
        still={"thumb_rotation": 0.263},
        pinch=bend("index", 0.617 * 1.5, 0.617 * 1.5, 0.617 * 0.9)
        | thumb(turned, 0.263 + 0.969, 0.154, 0.399 * 1.6, 0.399),
        around=around | thumb(turned, 1.35, 0.17, 0.86, 0.53),
        cylinder=(0.049, 0.106),
    )


def shadow() -> Published:
    wrist = (Link("wrist_side", (0, 0.01, 0), OTHER), Link("wrist_bend", (0, 0, 0.034)))

    def finger(name: str, axis: Axis, *first: Link, at: tuple[float, float, float]):
        return (
            *(*wrist, *first, Link(f"{name}_spread", at, axis), Link(f"{name}_proximal")),
            *(Link(f"{name}_middle", (0, 0, 0.045)), Link(f"{name}_distal", (0, 0, 0.025))),
        )

    names = ("index", "middle", "ring", "little")
    side = Link("little_metacarpal", (0.033, 0, 0.02071), (-0.5736, 0, 0.8192))
    root = (0.6533, 0.2706, -0.2706, -0.6533)
    turned = "rotation proximal hub middle distal"
    around = {
        **bend("index", 0.29, 1.09, 0.73),
        **bend("middle", 0.38, 1.1, 0.73),
        **bend("ring", 0.29, 1.09, 0.73),
        **bend("little", 0.18, 1.01, 0.69),
    }
    synergy = bent(names, 1.5, 1.5, 1.0)
    return Published(
        mass=0.794,
        drives=20,
        chains={
            "index": finger("index", ABDUCT, at=(-0.033, 0, 0.095)),
            "middle": finger("middle", ABDUCT, at=(-0.011, 0, 0.099)),
            "ring": finger("ring", OTHER, at=(0.011, 0, 0.095)),
            "little": finger("little", OTHER, side, at=(0, 0, 0.06579)),
            "thumb": (
                *wrist,
                Link("thumb_rotation", (-0.034, 0.00858, 0.029), DOWN, root),
                Link("thumb_proximal", axis=OTHER),
                Link("thumb_hub", (0, 0, 0.038), OTHER),
                Link("thumb_middle"),
                Link("thumb_distal", (0, 0, 0.032)),
            ),
        },
        tips={**dict.fromkeys(names, (0, 0.0072, 0.0239)), "thumb": (0, 0.0086, 0.0249)},
        synergy={
            # to the end of its range, further than the published 1
            "thumb_rotation": thumb("rotation proximal", 0.31, 1.2217),
            "thumb": thumb("middle distal", 0.65, 1.2),
            "index": synergy["index"],
            "middle": synergy["middle"],
            "ring": synergy["ring"] | synergy["little"] | {"little_metacarpal": 0.35},
        },
        still={},
        pinch=bend("index", 0.566 * 1.5, 0.566 * 1.5, 0.566)
        | thumb(turned, 0.31, 1.0, 0.0, 0.28 * 0.65, 0.28 * 1.2),
        around=around | thumb(turned, 0.35, 1.12, 0.0, 0.11, 0.21),
        cylinder=(0.041 + 0.01, 0.099 + 0.034),  # published from the palm
    )


PUBLISHED = {"leap": leap(), "allegro": allegro(), "shadow": shadow()}
