"""The style sheet of a report's HTML page: light, dark and printed."""

from __future__ import annotations

STYLE = """
:root {
  --page: #ffffff; --panel: #f6f7f9; --text: #1c2430; --muted: #5c6675; --rule: #dfe3e8; --accent: #2460a7;
  --bar: #9dbfe6; --value: #15406f; --floor: #b45309; --warn-page: #fff7e0; --warn-edge: #d39e00; --grid: #e6e9ed;
  --c0: #2460a7; --c1: #c2410c; --c2: #15803d; --c3: #8e3a9d; --c4: #a16207; --c5: #0e7490; --c6: #be185d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14181e; --panel: #1c222b; --text: #e4e8ee; --muted: #9aa5b4; --rule: #323b47; --accent: #82b4f0;
    --bar: #3b5f8a; --value: #b9d7fa; --floor: #f0a04b; --warn-page: #33290f; --warn-edge: #d39e00; --grid: #2a323d;
    --c0: #82b4f0; --c1: #fb923c; --c2: #5fc985; --c3: #d08ee0; --c4: #e0b64a; --c5: #4fc4d8; --c6: #f47fb4;
  }
}
@media print {
  :root {
    --page: #ffffff; --panel: #ffffff; --text: #000000; --muted: #444444; --rule: #cccccc; --accent: #000000;
    --bar: #9dbfe6; --value: #15406f; --floor: #b45309; --warn-page: #ffffff; --warn-edge: #000000; --grid: #dddddd;
    --c0: #2460a7; --c1: #c2410c; --c2: #15803d; --c3: #8e3a9d; --c4: #a16207; --c5: #0e7490; --c6: #be185d;
  }
}
* { box-sizing: border-box; }
html { color-scheme: light dark; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif;
}
.page { max-width: 1180px; margin: 0 auto; padding: 32px 28px 64px; }
h1 { font-size: 27px; line-height: 1.25; margin: 0 0 8px; letter-spacing: -0.01em; }
h2 { font-size: 19px; line-height: 1.3; margin: 44px 0 10px; scroll-margin-top: 12px; }
p { margin: 8px 0; max-width: 100ch; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
code { font: 0.9em ui-monospace, "DejaVu Sans Mono", "Liberation Mono", Menlo, Consolas, monospace; }
.synthetic { font-weight: 600; color: var(--floor); margin: 0 0 12px; }
.note { color: var(--muted); font-size: 13.5px; }
.warnings {
  margin: 16px 0; padding: 10px 16px; background: var(--warn-page); border: 1px solid var(--rule);
  border-left: 4px solid var(--warn-edge); border-radius: 4px;
}
.warnings h2 { font-size: 15px; margin: 0; }
.warnings ul { margin: 4px 0 0; padding-left: 20px; }
.contents { margin: 18px 0; }
.contents ul { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 2px 18px; }
.facts {
  columns: 2 430px; column-gap: 32px; margin: 18px 0; padding: 12px 18px; font-size: 13.5px;
  background: var(--panel); border: 1px solid var(--rule); border-radius: 6px;
}
.facts div { display: grid; grid-template-columns: 19ch 1fr; gap: 14px; padding: 2px 0; break-inside: avoid; }
.facts dt { color: var(--muted); overflow-wrap: anywhere; }
.facts dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
.scroll { overflow: auto; max-height: 88vh; border: 1px solid var(--rule); border-radius: 6px; }
.scroll:focus-visible { outline: 2px solid var(--accent); }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 13.5px; }
th, td { padding: 7px 12px; text-align: left; vertical-align: top; border-bottom: 1px solid var(--rule); }
tr:last-child td { border-bottom: 0; }
thead th {
  position: sticky; top: 0; z-index: 2; background: var(--panel); font-weight: 600; vertical-align: bottom;
  line-height: 1.3;
}
td { background: var(--page); min-width: 7ch; max-width: 44ch; }
th:first-child, td:first-child { position: sticky; left: 0; z-index: 1; border-right: 1px solid var(--rule); }
thead th:first-child { z-index: 3; }
td:first-child { min-width: 16ch; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.figure { white-space: nowrap; font-variant-numeric: tabular-nums; }
.figure b { font-weight: 600; display: inline-block; min-width: 6ch; margin-right: 6px; }
.figure small { color: var(--muted); font-size: 12px; }
.figure .floor-text { color: var(--floor); display: block; line-height: 1.2; }
svg { display: block; overflow: visible; }
.bar { margin: 3px 0 1px; }
.track { stroke: var(--rule); stroke-width: 1; }
.interval { fill: var(--bar); }
.value { fill: var(--value); }
path.floor { fill: var(--floor); }
line.floor { stroke: var(--floor); stroke-width: 1.5; }
.ends text { font-size: 11px; font-weight: 400; fill: var(--muted); font-variant-numeric: tabular-nums; }
.key { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 16px; }
.chart { width: 100%; max-width: 620px; height: auto; }
.chart text { font-size: 12px; fill: var(--muted); font-variant-numeric: tabular-nums; }
.chart .label { fill: var(--text); font-size: 12.5px; }
.grid { stroke: var(--grid); stroke-width: 1; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.dashed { stroke-dasharray: 5 4; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); } .c3 { stroke: var(--c3); }
.c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); } .c6 { stroke: var(--c6); }
.dot { fill: var(--page); stroke-width: 1.5; stroke-dasharray: none; }
.legend {
  list-style: none; margin: 4px 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: 2px 20px; font-size: 13.5px;
}
.legend li { display: flex; align-items: center; gap: 7px; }
figure { margin: 0; }
figure img { display: block; max-width: 100%; height: auto; border: 1px solid var(--rule); border-radius: 4px; }
figcaption { max-width: 100ch; margin-top: 8px; color: var(--muted); font-size: 13.5px; }
footer { margin-top: 48px; color: var(--muted); font-size: 12.5px; }
@media (max-width: 640px) {
  .page { padding: 18px 14px 40px; }
  .facts div { grid-template-columns: 1fr; gap: 0; }
}
@media print {
  @page { size: A4 landscape; margin: 14mm; }
  body { font-size: 10.5pt; }
  .page { max-width: none; padding: 0; }
  .contents { display: none; }
  .scroll { overflow: visible; max-height: none; border: 0; }
  thead th, th:first-child, td:first-child { position: static; }
  tr, figure, .chart { break-inside: avoid; }
  h2 { break-after: avoid; }
  table { font-size: 8.5pt; }
  th, td { padding: 4px 6px; }
  .figure { white-space: normal; }
  .figure small { display: block; font-size: 7.5pt; }
  .bar, .ends { width: 90px; height: auto; }
  .ends text { font-size: 15px; }
}
"""
