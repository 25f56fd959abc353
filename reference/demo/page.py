"""The frame of the report: one HTML file that asks for nothing outside, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark;
  --paper: #ffffff; --panel: #f6f7f9; --ink: #1f2428; --muted: #5a646c; --grid: #dfe3e7; --line: #d0d6dc;
  --good: #0b6e4f; --bad: #b3261e; --link: #0b5cad;
  --rule-single: #767f87; --rule-sampler_match: #0072b2; --rule-naive_list: #dd9200; --rule-recursive: #009e73;
  --rule-recursive_without_replacement: #b5508c; --rule-k_seq: #d55e00; --rule-greedy: #4aa8de;
  --rule-spechub: #7a68c8; --rule-optimal: #c9a400;
  --accepted: #d3ecdf; --corrected: #fbd9c4; --bonus: #d5e3fa; --target: transparent;
  --cell-drafted: #3f9f7c; --cell-own: #b9dccd; --cell-moved: #f0b04e; --cell-other: #cf4a3f; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #15191d; --panel: #1d2328; --ink: #e7ebee; --muted: #a5b0b9; --grid: #363e46; --line: #3b444c;
  --good: #5fd0a3; --bad: #ff9187; --link: #84b9f5;
  --rule-single: #a3adb5; --rule-sampler_match: #56a8e0; --rule-naive_list: #f0b440; --rule-recursive: #35c79c;
  --rule-recursive_without_replacement: #e294c2; --rule-k_seq: #ff8d4a; --rule-greedy: #8fd0f5;
  --rule-spechub: #b3a5f0; --rule-optimal: #e8c93a;
  --accepted: #1d4d3a; --corrected: #6b3517; --bonus: #23406e; --target: transparent;
  --cell-drafted: #35a27a; --cell-own: #1f5443; --cell-moved: #c58a24; --cell-other: #d8604f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2.2rem 1.2rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.28rem; margin: 2.8rem 0 .5rem; padding-top: .9rem; border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: .5rem 0; }
a { color: var(--link); }
.lead { font-size: 1.06rem; color: var(--muted); }
.verdict { font-weight: 600; } .good { color: var(--good); } .bad { color: var(--bad); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: .8rem; margin: 1.4rem 0; }
.fact { background: var(--panel); border-radius: .5rem; padding: .8rem 1rem; }
.fact b { display: block; font-size: 1.55rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.fact span { color: var(--muted); font-size: .88rem; line-height: 1.35; display: block; }
figure { margin: 1.2rem 0; }
.wide { overflow-x: auto; }
.wide svg { display: block; width: 100%; min-width: 620px; height: auto; }
figcaption, .note { color: var(--muted); font-size: .92rem; max-width: 52rem; margin-top: .5rem; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--muted); padding-bottom: .4rem; font-size: .92rem; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--grid); text-align: left; vertical-align: top; }
th { font-weight: 600; border-bottom: 1px solid var(--muted); vertical-align: bottom; }
.number { text-align: right; white-space: nowrap; } th.number { white-space: normal; }
pre { background: var(--panel); border-radius: .5rem; padding: .9rem 1rem; margin: .5rem 0 1.1rem; overflow-x: auto;
  font: 13.5px/1.6 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .92em; }
.prompt { color: var(--muted); }
mark { color: inherit; border-radius: 2px; padding: 1px 0; }
mark.accepted { background: var(--accepted); } mark.corrected { background: var(--corrected); }
mark.bonus { background: var(--bonus); } mark.target { background: var(--target); }
mark.bonus, mark.corrected { font-weight: 700; }
pre.lines { white-space: pre; overflow-wrap: normal; } .muted { color: var(--muted); }
.keys { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; margin-bottom: .8rem; font-size: .88rem; }
.key i { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem; border-radius: 2px;
  vertical-align: -.06rem; }
.cells .title { font: 600 13px system-ui, sans-serif; fill: var(--ink); }
.cells .count { font: 11.5px system-ui, sans-serif; fill: var(--muted); }
i.drafted { background: var(--cell-drafted); } path.drafted { fill: var(--cell-drafted); }
i.own { background: var(--cell-own); } path.own { fill: var(--cell-own); }
i.moved { background: var(--cell-moved); } path.moved { fill: var(--cell-moved); }
i.other { background: var(--cell-other); } path.other { fill: var(--cell-other); }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--link); }
h3 { font-size: 1rem; margin: 1.3rem 0 .2rem; }
@media print { details > * { display: block; } }
"""


def page(title: str, body: str) -> str:
    """A whole document around a body."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def section(name: str, title: str, *parts: str) -> str:
    """A section with a heading that can be linked to."""
    return (
        f'<section aria-labelledby="{name}">\n<h2 id="{name}">{escape(title)}</h2>\n'
        + "\n".join(parts)
        + "\n</section>"
    )


def figure(svg: str, caption: str) -> str:
    """A figure with its caption (HTML)."""
    return f'<figure><div class="wide">{svg}</div><figcaption>{caption}</figcaption></figure>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = (), caption: str = "") -> str:
    """A table of cells that are HTML already; ``numbers`` are the columns set flush right."""

    def row(tag: str, cells: Sequence[str]) -> str:
        made = [f"<{tag}{' class=number' if i in numbers else ''}>{cell}</{tag}>" for i, cell in enumerate(cells)]
        return f"<tr>{''.join(made)}</tr>"

    title = f"<caption>{caption}</caption>" if caption else ""
    body = "\n".join(row("td", cells) for cells in rows)
    return f'<div class="wide"><table>{title}<thead>{row("th", head)}</thead>\n<tbody>{body}</tbody></table></div>'


def verdict(passed: bool, good: str = "holds", bad: str = "FAILS") -> str:
    """A word in the colour of its meaning."""
    return f'<span class="verdict {"good" if passed else "bad"}">{escape(good if passed else bad)}</span>'
