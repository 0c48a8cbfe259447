"""A report as blocks, written as Markdown and as HTML that opens by itself."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gym_grasp.markdown import table


@dataclass(frozen=True)
class Heading:
    """A heading, of level 1 to 3."""

    level: int
    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a caption."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Picture:
    """A figure, of which NAME.svg and NAME.png lie beside the report."""

    name: str
    caption: str
    svg: str


Block = Heading | Text | Table | Picture

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b222b; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; margin-top: 2rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #ccd3db; }
figure { margin: 1.5rem 0; } figure svg { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
.warning { background: #fff3d6; border-left: 4px solid #c98a00; padding: .6rem 1rem; }
"""


def to_markdown(blocks: Sequence[Block]) -> str:
    """Return the report as Markdown; figures are linked."""
    parts: list[str] = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append(f"{'#' * block.level} {_plain(block.text)}")
        elif isinstance(block, Text):
            parts.append(f"**{_plain(block.text)}**" if block.warning else _plain(block.text))
        elif isinstance(block, Table):
            cells = [[_cell(one) for one in row] for row in (block.header, *block.rows)]
            parts += [f"*{_plain(block.caption)}*", "\n".join(table(cells[0], cells[1:]))]
        else:
            parts.append(f"![{_plain(block.caption)}]({block.name}.png)")
    return "\n\n".join(parts) + "\n"


def to_html(blocks: Sequence[Block], title: str, language: str = "en") -> str:
    """Return the report as one HTML page that needs nothing else."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            level = block.level
            parts.append(f"<h{level}>{html.escape(block.text)}</h{level}>")
        elif isinstance(block, Text):
            mark = ' class="warning"' if block.warning else ""
            parts.append(f"<p{mark}>{html.escape(block.text)}</p>")
        elif isinstance(block, Table):
            parts.append(_table(block))
        else:
            caption = html.escape(block.caption)
            parts.append(
                f'<figure role="img" aria-label="{caption}">{block.svg}'
                f"<figcaption>{caption}</figcaption></figure>"
            )
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="{html.escape(language)}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body><main>\n"
        f"{body}\n</main></body>\n</html>\n"
    )


def _table(block: Table) -> str:
    head = "".join(
        f'<th scope="col">{html.escape(one)}</th>' if one else "<td></td>" for one in block.header
    )
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(one)}</td>" for one in row) + "</tr>"
        for row in block.rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{html.escape(block.caption)}">'
        f"<table><caption>{html.escape(block.caption)}</caption>"
        f"<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
    )


def _plain(text: str) -> str:
    """Keep what participants or protocols wrote from being markup."""
    return re.sub(r"([<>*_`\[\]\\])", r"\\\1", text)


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|").replace("\n", " ")
