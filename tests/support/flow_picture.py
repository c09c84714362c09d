"""docs/pictures/flow.svg: the way of a document through Hearth. `make docs` draws it."""

from __future__ import annotations

from html import escape
from pathlib import Path

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "flow.svg"

_WIDTH, _HEIGHT = 760, 318
_STYLE = """
  .card { fill: #ffffff; stroke: #d9d9d6 } text { font: 13px system-ui, sans-serif; fill: #222; text-anchor: middle }
  .faint { fill: #6b6b68; font-size: 12px } .left { text-anchor: start }
  .box { fill: #f1f1ee; stroke: #7c8794 } .slot { fill: #c2410c } .free { fill: none; stroke: #c2410c }
  .server { fill: #c2410c; fill-opacity: .1; stroke: #c2410c }
  .way { stroke: #7c8794; fill: none; marker-end: url(#end) } .head { fill: #7c8794 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #161719; stroke: #34363a } text { fill: #e8e8e6 } .faint { fill: #a0a3a8 }
    .box { fill: #222427; stroke: #8b95a3 } .slot { fill: #fb923c } .free { stroke: #fb923c }
    .server { fill: #fb923c; fill-opacity: .12; stroke: #fb923c }
  }
"""
_HEAD = (
    '<marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0L8 4L0 8z" class="head"/></marker>'
)


def _box(x: int, y: int, width: int, height: int, title: str, note: str, kind: str = "box") -> str:
    middle = x + width / 2
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" class="{kind}"/>'
        f'<text x="{middle:g}" y="{y + 21}">{escape(title)}</text>'
        f'<text x="{middle:g}" y="{y + 38}" class="faint">{escape(note)}</text>'
    )


def _way(path: str) -> str:
    return f'<path d="{path}" class="way"/>'


def picture() -> str:
    """Return the SVG."""
    triggers = [("hearth read", "the command"), ("schedule, form", "Prefect"), ("HTTP, S3", "an upload")]
    steps = [
        ("open", "in a sandbox"),
        ("warm a server", "reuse or start"),
        ("read pages", "all slots busy"),
        ("store", "page by page"),
    ]
    shapes = [
        _box(20, y - 24, 132, 48, title, note) + _way(f"M152 {y}C172 {y} 168 122 186 122")
        for y, (title, note) in zip((64, 122, 180), triggers, strict=True)
    ]
    shapes += [_box(190 + 142 * at, 98, 124, 48, title, note) for at, (title, note) in enumerate(steps)]
    shapes += [_way(f"M{314 + 142 * at} 122H{330 + 142 * at}") for at in range(len(steps) - 1)]
    shapes.append('<text x="190" y="84" class="faint left">one run of the Prefect flow process_document</text>')
    shapes.append('<rect x="332" y="200" width="266" height="98" rx="6" class="server"/>')
    shapes.append('<text x="465" y="221">one warm server, shared by runs</text>')
    shapes += [
        f'<rect x="{361 + 27 * slot}" y="232" width="19" height="19" rx="3" class="{"free" if slot == 7 else "slot"}"/>'
        for slot in range(8)
    ]
    shapes.append('<text x="465" y="271" class="faint">embedded OCR, Ollama, a URL,</text>')
    shapes.append('<text x="465" y="288" class="faint">EC2, ECS or SageMaker</text>')
    shapes += [_way("M394 146V198"), _way("M536 146V198"), _way("M598 249H628")]
    shapes.append(_box(630, 225, 110, 48, "stopped", "when idle"))
    shapes.append(_way("M678 146V176"))
    shapes.append('<text x="678" y="193" class="faint">Markdown and JSON</text>')
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="The way of a document">',
            f"<style>{_STYLE}</style>",
            f"<defs>{_HEAD}</defs>",
            f'<rect x=".5" y=".5" width="{_WIDTH - 1}" height="{_HEIGHT - 1}" rx="8" class="card"/>',
            *shapes,
            "</svg>\n",
        ]
    )
