#!/usr/bin/env python3
"""Draws the plots of docs/performance.md from the JSON lines of runs.

    bench/plots.py OUT RUN.jsonl...

Writes cpu.svg, load.svg and memory.svg into OUT. Of rows that were made several times the middle is drawn, and for CPU the
smallest and the largest beside it. The drawings follow the reader's choice of light or dark.
"""

import json
import statistics
import sys
from pathlib import Path

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.faint { fill: #57606a } .grid { stroke: #d0d7de } .whisker { stroke: #24292f }
.a { fill: #0969da; stroke: #0969da } .b { fill: #9a6700; stroke: #9a6700 }
.c { fill: #8250df; stroke: #8250df } .d { fill: #8c959f; stroke: #8c959f }
.line { fill: none; stroke-width: 2 } .dashed { stroke-dasharray: 5 4 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .faint { fill: #8d96a0 } .grid { stroke: #30363d } .whisker { stroke: #e6edf3 }
.a { fill: #58a6ff; stroke: #58a6ff } .b { fill: #d29922; stroke: #d29922 }
.c { fill: #bc8cff; stroke: #bc8cff } .d { fill: #6e7681; stroke: #6e7681 }
.line { fill: none } }
"""

# Senders with their names and colours, in the order of the drawing.
SENDERS = {"apns": ("apns", "a"), "h2-loop": ("minimal loop on h2", "b"), "h2load": ("h2load", "c"),
           "h2-bytes": ("ready bytes: the limit", "d")}


class Drawing:
    def __init__(self, width, height, title):
        self.width, self.height, self.title, self.parts = width, height, title, []

    def text(self, x, y, text, anchor="start", cls=""):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{cls}">{text}</text>')

    def rect(self, x, y, width, height, cls):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{cls}"/>')

    def line(self, points, cls):
        self.parts.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" class="{cls}"/>')

    def dot(self, x, y, cls):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="{cls}"/>')

    def write(self, path):
        body = "\n".join(self.parts)
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{self.title}">\n<style>{STYLE}</style>\n<title>{self.title}</title>\n{body}\n</svg>\n')


def groups(rows, key):
    found = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def nice(most):
    """A round number above this one, and the step of a grid up to it."""
    step = 10 ** len(str(int(most))) / 10
    while most / step < 4:
        step /= 2
    return step * (int(most / step) + 1), step


def cpu(rows, out):
    rows = [row for row in rows if row["task"]["what"] == "throughput" and row.get("streams") in (100, 1000)]
    cases = sorted({(row["task"]["payload"], row["streams"]) for row in rows})
    by = groups(rows, lambda row: (row["task"]["payload"], row["streams"], row["sender"]))
    bar, gap, left = 16, 26, 190
    drawing = Drawing(760, 46 + len(cases) * (len(SENDERS) * (bar + 3) + gap), "CPU time for each notification at nghttpd")
    most, step = nice(max(row["cpu_ns"] for row in rows) / 1000)
    scale = (drawing.width - left - 60) / most
    y = 24
    drawing.text(0, 14, "CPU for each notification, µs: the middle of the rounds, with the smallest and the largest", cls="faint")
    for mark in range(int(most / step) + 1):
        x = left + mark * step * scale
        drawing.line([(x, y), (x, drawing.height - 18)], "grid")
        drawing.text(x, drawing.height - 4, f"{mark * step:g}", "middle", "faint")
    for payload, streams in cases:
        drawing.text(0, y + 14, f"{payload} bytes, {streams} in flight")
        y += 20
        for sender, (name, cls) in SENDERS.items():
            values = [row["cpu_ns"] / 1000 for row in by.get((payload, streams, sender), [])]
            if not values:
                continue
            middle = statistics.median(values)
            drawing.text(left - 8, y + 12, name, "end", "faint")
            drawing.rect(left, y, middle * scale, bar, cls)
            drawing.line([(left + min(values) * scale, y + bar / 2), (left + max(values) * scale, y + bar / 2)], "whisker")
            drawing.text(left + max(values) * scale + 6, y + 12, f"{middle:.2f}")
            y += bar + 3
        y += gap - 20
    drawing.write(out / "cpu.svg")


def chart(drawing, box, series, title, xs, unit):
    """One small chart with equal steps between the values of x. `series` has name, class and a value for each x."""
    left, top, width, height = box
    most, step = nice(max(max(values) for _, _, values in series))
    place = lambda index, value: (left + width * index / max(1, len(xs) - 1), top + height - height * value / most)
    drawing.text(left, top - 10, f"{title}, {unit}", cls="faint")
    for mark in range(int(most / step) + 1):
        _, y = place(0, mark * step)
        drawing.line([(left, y), (left + width, y)], "grid")
        drawing.text(left - 6, y + 4, f"{mark * step:g}", "end", "faint")
    for index, x in enumerate(xs):
        drawing.text(place(index, 0)[0], top + height + 16, f"{x:,}".replace(",", " "), "middle", "faint")
    for name, cls, values in series:
        points = [place(index, value) for index, value in enumerate(values)]
        drawing.line(points, f"line {cls}")
        for point in points:
            drawing.dot(*point, cls.split()[0])


def load(rows, out):
    rows = [row for row in rows if row["task"]["what"] == "throughput" and row["task"]["payload"] == 100 and "streams" in row]
    by = groups(rows, lambda row: (row["sender"], row["streams"]))
    senders = [sender for sender in ("apns", "h2-loop") if any(key[0] == sender for key in by)]
    xs = sorted({streams for sender, streams in by if sender == "apns" and all((one, streams) in by for one in senders)})
    middle = lambda sender, streams, value: statistics.median(value(row) for row in by[sender, streams])
    per_second = lambda row: row["accepted"] / row["seconds"] / 1000
    drawing = Drawing(760, 300, "Throughput and latency against requests in flight")
    rate = [(SENDERS[one][0], SENDERS[one][1], [middle(one, x, per_second) for x in xs]) for one in senders]
    chart(drawing, (50, 50, 290, 190), rate, "throughput", xs, "1000 a second")
    # As many are in flight all the time, so each takes their number divided by the throughput (Little's law).
    late = [(name, cls, [x / value for x, value in zip(xs, values)]) for name, cls, values in rate]
    chart(drawing, (440, 50, 290, 190), late, "time from request to answer, mean", xs, "ms")
    legend(drawing, senders, 290)
    for middle_of in (195, 585):
        drawing.text(middle_of, 272, "requests in flight", "middle", "faint")
    drawing.write(out / "load.svg")


def legend(drawing, senders, y):
    x = 50
    for sender in senders:
        name, cls = SENDERS[sender]
        drawing.rect(x, y - 9, 10, 10, cls)
        drawing.text(x + 16, y, name)
        x += 40 + 7 * len(name)


def memory(rows, out):
    rows = [row for row in rows if row["task"]["what"] == "memory" and row.get("peak_kib")]
    by = groups(rows, lambda row: (row["task"]["protocol"], row["task"]["distinct"], row["task"]["count"]))
    xs = sorted({key[2] for key in by})
    kinds = [kind for kind in sorted({key[:2] for key in by}) if all((*kind, x) in by for x in xs)]
    names = {("binary", False): ("binary, one payload", "b"), ("binary", True): ("binary, a payload each", "b dashed"),
             ("http2", False): ("HTTP/2, one payload", "a"), ("http2", True): ("HTTP/2, a payload each", "a dashed")}
    series = [(*names[kind], [statistics.median(row["peak_kib"] for row in by[(*kind, x)]) / 1024 for x in xs]) for kind in kinds]
    drawing = Drawing(760, 300, "Resident memory against the size of a batch")
    chart(drawing, (50, 50, 420, 190), series, "largest resident memory", xs, "MiB")
    drawing.text(260, 276, "notifications", "middle", "faint")
    for index, (name, cls, _) in enumerate(series):
        y = 70 + 24 * index
        drawing.line([(500, y - 4), (530, y - 4)], f"line {cls}")
        drawing.text(538, y, name)
    drawing.write(out / "memory.svg")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    out = Path(sys.argv[1])
    rows = [json.loads(line) for name in sys.argv[2:] for line in Path(name).read_text().splitlines() if line]
    out.mkdir(parents=True, exist_ok=True)
    for draw in (cpu, load, memory):
        draw(rows, out)


main()
