"""Draws the rows as SVG: a group of bars for each workload, as long as their ratio to libcurl's multi interface.

It brings its own background, so that it is legible on a light page and on a dark one whatever the page says."""

from html import escape

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.page { fill: #ffffff; }
.title { font-weight: 600; }
.small { font-size: 11px; fill: #57606a; }
.own { fill: #1a7f37; }
.other { fill: #8c959f; }
.floor { fill: #d0d7de; }
.mark { stroke: #57606a; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .page { fill: #0d1117; }
  .small { fill: #9198a1; }
  .own { fill: #3fb950; }
  .other { fill: #6e7681; }
  .floor { fill: #3d444d; }
  .mark { stroke: #9198a1; }
}
"""

# What is shown of each, and in which unit.
BARS = [
    ("completed", "this library, threads", "own"),
    ("events-completed", "this library, events", "own"),
    ("multi", "libcurl multi", "other"),
    ("easy", "libcurl easy, threads", "other"),
    ("go", "Go net/http", "other"),
    ("floor", "bare sockets", "floor"),
    ("floor-epoll", "bare sockets, epoll", "floor"),
]
CHARTS = [
    ("get8", "cpu_us", "CPU"),
    ("get64", "cpu_us", "CPU"),
    ("get1000", "cpu_us", "CPU"),
    ("tls64", "cpu_us", "CPU"),
    ("post8", "cpu_us", "CPU"),
    ("fresh", "cpu_us", "CPU"),
    ("tls-fresh", "cpu_us", "CPU"),
    ("download", "cpu_us", "CPU"),
    ("upload", "cpu_us", "CPU"),
    ("wait2000", "memory_kb", "memory"),
    ("get1", "wall_us", "time"),
]

WIDTH, LABEL, BAR, LINE, HEAD, GAP = 490, 150, 205, 17, 24, 18
LONGEST = 2.2  # a longer bar is cut; its figure says how long it is


def amount(value, figure):
    if figure == "memory_kb":
        return f"{value:.1f} KB"
    return f"{value:.1f} µs" if value < 1000 else f"{value / 1000:.1f} ms"


def group(title, bars, figure, reference, x, y):
    out = [f'<text class="title" x="{x}" y="{y + 13}">{escape(title)}</text>']
    top = y + HEAD
    scale = BAR / LONGEST
    for index, (label, kind, value) in enumerate(bars):
        line = top + index * LINE
        length = max(min(value / reference, LONGEST) * scale, 1)
        out.append(f'<text class="small" text-anchor="end" x="{x + LABEL - 6}" y="{line + 11}">{escape(label)}</text>')
        out.append(f'<rect class="{kind}" x="{x + LABEL}" y="{line + 1}" width="{length:.1f}" height="{LINE - 4}" rx="2"/>')
        text = f"{amount(value, figure)}  ({value / reference:.2f})"
        out.append(f'<text class="small" x="{x + LABEL + BAR + 8}" y="{line + 11}">{text}</text>')
    mark = x + LABEL + scale
    out.append(f'<line class="mark" x1="{mark:.1f}" x2="{mark:.1f}" y1="{top - 2}" y2="{top + len(bars) * LINE}"/>')
    return out, HEAD + len(bars) * LINE + GAP


def draw(about, records, workloads):
    rows = {(record["workload"], record["client"]): record for record in records}
    titles = {workload.name: workload.title for workload in workloads}
    body, bottoms = [], [20, 20]
    for name, figure, what in CHARTS:
        multi = [rows[name, client][figure] for client in ("multi", "multi-poll") if (name, client) in rows]
        bars = []
        for client, label, kind in BARS:
            value = min(multi, default=None) if client == "multi" else rows.get((name, client), {}).get(figure)
            if value:
                bars.append((label, kind, value))
        if not multi or not min(multi):
            continue
        column = bottoms.index(min(bottoms))
        lines, height = group(f"{titles[name]}: {what}", bars, figure, min(multi), 16 + column * WIDTH, bottoms[column])
        body += lines
        bottoms[column] += height
    notes = [
        "For each request; in brackets, and as the dashed line, compared with libcurl's multi interface. Less is better.",
        f"{about['cpu']}, " + ("one core for the client, one for the server" if about["pinned"] else "not pinned") + "; "
        + ", ".join(f"{name} {version}" for name, version in about["versions"].items() if name in ("nginx", "libcurl", "go"))
        + f"; {about['date']}, commit {about['commit']}",
    ]
    bottom = max(bottoms) + 4
    for index, note in enumerate(notes):
        body.append(f'<text class="small" x="16" y="{bottom + 14 + index * 16}">{escape(note)}</text>')
    height, width = bottom + 46, 16 + 2 * WIDTH
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
            f"<style>{STYLE}</style>\n<rect class=\"page\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>\n"
            + "\n".join(body) + "\n</svg>\n")
