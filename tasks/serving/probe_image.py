"""The image of a probe, a line of text; nothing is drawn for it."""

import base64
import zlib

from tasks.documents import png

_WIDTH, _LINE, _MARGIN = 224, 28, 14
# "Hearth is getting warm." in Helvetica of 18 points: a bit a pixel, 1 for ink.
_TEXT = (
    "c-muN7{P#z8AK*9902nUV9K#T<QO@y%Q1lE(9L9HY|u$#U~XVxY?fd+-~be2Xp(@+$+tiLSI=<%fc)|2d(J=n!&4~VzyA+dj-A=y"
    "jB-n1!<hubGlm@JjAd8~4f+g^LFE1$957}{Y&gT90F*mp#KTt1aK@kwYNo+~VxZhPxLhzJLeBp9XQ15S0}AIqg5;QP$s^<xctB<z"
    "NKiPz2$q{=fMn(gklYCc1CW`<Jj{Ix2sz0fkbOXR9!mtu$uRdA0_7B7{@cx-*l_%S-0_F!&KSO7?2&r|l|usHz~sRiBL)pXf|&!W"
    "oHbZ(2Ua;gF!_M;Bmn>g8(S#"
)


def probe_image() -> bytes:
    """Return a grey PNG of a line of text."""
    bits = zlib.decompress(base64.b85decode(_TEXT))
    line = bytes(0 if byte >> bit & 1 else 255 for byte in bits for bit in range(7, -1, -1))
    margin = b"\xff" * (_WIDTH * _MARGIN)
    return png.encoded(margin + line + margin, _WIDTH, 2 * _LINE, 1)
