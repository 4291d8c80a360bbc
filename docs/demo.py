#!/usr/bin/env python3
"""Draws docs/demo.svg from what `apns demo` prints of the HTTP/2 provider API.

    cargo run -p apns-cli -- demo | docs/demo.py > docs/demo.svg
"""

import html
import sys

LINE, CHARACTER, MARGIN = 18, 7.85, 20
STYLE = (
    "svg{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}"
    ".back{fill:#f6f8fa;stroke:#d0d7de}text{fill:#1f2328;white-space:pre}.prompt{fill:#0969da}"
    "@media(prefers-color-scheme:dark){.back{fill:#0d1117;stroke:#30363d}text{fill:#e6edf3}.prompt{fill:#58a6ff}}"
)


def main():
    shown = []
    for line in sys.stdin.read().splitlines():
        if line.startswith("Device tokens to forget"):
            break
        shown.append(line)
    while shown and not shown[-1]:
        shown.pop()
    lines = ["$ cargo run -p apns-cli -- demo", "", *shown]
    width = max(map(len, lines)) * CHARACTER + 2 * MARGIN
    height = len(lines) * LINE + 2 * MARGIN
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" role="img">')
    print("<title>What apns demo prints</title>")
    print(f"<style>{STYLE}</style>")
    print(f'<rect class="back" x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1}" rx="6"/>')
    for index, line in enumerate(lines):
        if line:
            kind = ' class="prompt"' if index == 0 else ""
            y = MARGIN + 13 + index * LINE
            print(f'<text{kind} x="{MARGIN}" y="{y}" xml:space="preserve">{html.escape(line)}</text>')
    print("</svg>")


main()
