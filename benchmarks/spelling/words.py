"""The words: 200 that are measured and 90 that decoders are tuned on; no word is in both."""

from __future__ import annotations

DOUBLES = """hello book coffee letter summer apple happy yellow pizza million balloon kitten button cheese school sleep
hammer rabbit pillow bottle dinner winner arrow carry mirror hurry puppy soccer penny muffin coffin traffic waggon
egg odd vacuum running savvy dazzle inn"""
"""40 with double letters."""

MOVING = """jazz zoo jump just enjoy major job jacket june july juice judge zero zone size prize lazy crazy frozen dozen
zebra quiz amaze breeze magazine object project subject joke blaze"""
"""30 with J or Z."""

NAMES = """anna maria james lukas sofia emma noah oliver jose fatima yusuf chen priya ivan olga kwame aisha tomas
ingrid pedro hana bjorn xavier quentin vera wanda victor helga samuel ruth"""
"""30 names."""

CONFUSABLE = """man men mane name moon noon mint nine money many morning seat east taste state asset sees essay
tease tent test atom steam vase save wave view vine river rival drum rum run urn rural curve virus surf guru truck luck
duck kick back vivid knock hang high hug ghost gang thing night light image fig five fire fly big bid did dad mad
dim date idea pop paper pipe quip equip question peach pack kept park dark mark task skate steak snake smart master
stamp tank thank think than then them theme woman women water winter window wide edit"""
"""Words of letters that are confused: M N, A S E T, U V R, K V P, G H, D F, Q G P."""

TUNING_DOUBLES = """butter sunny street green tree cool door address class miss kiss off coffees tall doll rubber
mommy cannon oops keep"""
TUNING_OTHERS = """jam jelly zip zigzag joy cozy maze adjust plaza ninja
david laura peter sarah simon diana george clara felix mona
mine mean snow mouse some same stem mast rest star urban very over ever even seven vein vest rover turn
under user puzzle quick quiet make kind dock veto gift height laugh grow page fog frog food find friend bread hand
orange table house white black phone music world cloud simple flower garden yes no please"""


def _unique(*groups: str) -> list[str]:
    """Return the words once each, in order, in capitals."""
    return list(dict.fromkeys(" ".join(groups).upper().split()))


MEASURED = {
    "doubles": _unique(DOUBLES),
    "J or Z": _unique(MOVING),
    "names": _unique(NAMES),
    "confusable": [word for word in _unique(CONFUSABLE) if word not in _unique(DOUBLES, MOVING, NAMES)][:100],
}
_USED = {word for group in MEASURED.values() for word in group}
TUNED_ON = [word for word in _unique(TUNING_DOUBLES, TUNING_OTHERS) if word not in _USED]
