#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page of `qed map --html` in a browser: light and dark, wide and narrow, mouse and keys."""

import html
import json
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from qedtest import QED, TestCase, run  # noqa: E402

# Inspects the finished page, and stores its findings in a new element.
PROBE = """
<script>
const seen = {errors: window.pageErrors};
const styled = (element, name) => getComputedStyle(element)[name];
seen.paper = styled(document.body, 'backgroundColor');
seen.ink = styled(document.body, 'color');
seen.soft = styled(document.querySelector('figcaption'), 'color');
seen.shades = {};
for (const section of ['guest-title', 'file-title']) {
  const table = document.getElementById(section).parentElement.querySelector('table');
  for (const row of table.querySelectorAll('tbody tr'))
    seen.shades[row.querySelector('th').textContent] = styled(row.querySelector('rect'), 'fill');
}
seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
seen.unnamed = [...document.querySelectorAll('svg:not([aria-hidden]),input,table,section')]
  .filter(e => !(e.ariaLabel || e.getAttribute('aria-labelledby') || (e.labels || []).length ||
                 e.tagName === 'TABLE' && e.querySelector('th[scope]'))).map(e => e.outerHTML);
seen.maps = {};
for (const id of ['guest', 'file']) {
  const slider = document.getElementById(id + '-at'), said = slider.parentElement.lastElementChild;
  slider.focus();
  const map = {focused: document.activeElement === slider, cells: +slider.max + 1};
  slider.value = 0; slider.dispatchEvent(new Event('input'));
  map.first = said.textContent; map.spoken = slider.getAttribute('aria-valuetext');
  const box = document.getElementById(id).getBoundingClientRect();
  const at = {clientX: box.left + box.width * 0.5 / 64, clientY: box.bottom - 6};
  document.getElementById(id).dispatchEvent(new MouseEvent('mousemove', at));
  map.pointed = +slider.value; map.second = said.textContent; map.width = box.width;
  seen.maps[id] = map;
}
const found = document.createElement('pre');
found.id = 'seen'; found.textContent = JSON.stringify(seen); document.body.append(found);
</script>
"""
WATCH = "<script>window.pageErrors=[];window.onerror=m=>window.pageErrors.push(m)</script>"

CHROMIUM = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND"]


def luminance(colour):
    """Relative luminance of `rgb(r, g, b)`, as WCAG defines it."""
    def linear(value):
        value /= 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
    red, green, blue = (linear(int(part)) for part in re.findall(r"\d+", colour)[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


class MapPageTest(TestCase):
    def make_page(self):
        """An overlay with data, zero clusters, leaks and a base."""
        def io(image, *commands):
            words = [word for command in commands for word in ("-c", command)]
            run("qemu-io", "-f", "qed", *words, self.path(image))

        self.create("base.qed", "64M")
        io("base.qed", "write -P 1 0 8M")
        run(QED, "create", "-q", "-f", "qed", "-b", "base.qed", "-F", "qed", self.path("top.qed"))
        io("top.qed", "write -P 2 40M 10M", "write -P 2 4M 1M", "write -z 10M 2M",
           "discard 40M 512k")
        page = self.path("page.html")
        run(QED, "map", "--html", page, self.path("top.qed"))
        text = page.read_text()
        text = text.replace("<head>", "<head>" + WATCH, 1)
        page.write_text(text.replace("</body>", PROBE + "</body>", 1))
        return page

    def look(self, page, dark, width):
        """The findings of the probe."""
        dom = run(*CHROMIUM, f"--user-data-dir={self.folder}/profile",
                  f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                  f"--window-size={width},900", "--dump-dom", page.as_uri()).out
        return json.loads(html.unescape(re.search(r'<pre id="seen">(.*?)</pre>', dom)[1]))

    def test_every_reader_can_use_it(self):
        page = self.make_page()
        papers = set()
        for dark in (False, True):
            for width in (1400, 500):
                with self.subTest(dark=dark, width=width):
                    seen = self.look(page, dark, width)
                    papers.add(seen["paper"])
                    self.check(seen, dark)
        self.assertEqual(2, len(papers))

    def check(self, seen, dark):
        self.assertEqual([], seen["errors"])
        self.assertEqual([], seen["unnamed"])
        self.assertLessEqual(seen["overflow"], 0, "the page is wider than its window")
        self.assertEqual(dark, luminance(seen["paper"]) < 0.5)
        self.assertGreater(contrast(seen["ink"], seen["paper"]), 7)
        self.assertGreater(contrast(seen["soft"], seen["paper"]), 4.5)
        # Each kind must differ visibly from unallocated clusters, which may be faint.
        shades = seen["shades"]
        empty = shades["nothing stored, reads as zero"]
        for name in ("data in this image", "data in a backing file", "zero, and stored as such",
                     "unused or leaked", "L2 tables"):
            self.assertGreater(contrast(shades[name], empty), 1.5, name)
        self.assertEqual(8 - 1, len(set(shades.values())), "one colour for one meaning")
        for name, map_seen in seen["maps"].items():
            self.assertTrue(map_seen["focused"], name)
            self.assertGreater(map_seen["width"], 300, name)
            self.assertRegex(map_seen["first"], r"^From 0 B: \d+% ")
            self.assertEqual(map_seen["first"], map_seen["spoken"])
            # The first cell of the last row.
            self.assertEqual((map_seen["cells"] - 1) // 64 * 64, map_seen["pointed"], name)
            self.assertNotEqual(map_seen["first"], map_seen["second"])
        self.assertIn("data in a backing file", seen["maps"]["guest"]["first"])


if __name__ == "__main__":
    unittest.main()
