"""What axe-core finds on the built site: `python tests/site_check.py build/site`.

Says so and does nothing where Chromium or axe-core is missing.
"""

import sys
from pathlib import Path

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path("src/gym_grasp/teleop/webxr/node_modules/axe-core/axe.min.js")
PAGES = ("index", "integrations", "api/envs", "tasks/open-drawer")
"""One of each kind: with pictures, wide tables, names of the API, and generated."""
SIZES = {"light": (1366, 768), "dark": (390, 844)}
MOST = 120_000
"""Time in ms in which a page has to be there, on a machine that is busy."""


def main(site: Path) -> int:
    """Return the number of faults that are serious or worse, and print them."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        for scheme, (width, height) in SIZES.items():
            size = {"width": width, "height": height}
            tab = browser.new_page(viewport=size, color_scheme=scheme)
            for page in PAGES:
                tab.goto((site / f"{page}.html").resolve().as_uri(), timeout=MOST)
                tab.evaluate(AXE.read_text())
                for one in tab.evaluate("axe.run().then(({ violations }) => violations)"):
                    if one["impact"] in ("serious", "critical"):
                        where = [node["target"] for node in one["nodes"]][:3]
                        found.append(f"{page}, {scheme}: {one['help']} {where}")
                if tab.evaluate("document.documentElement.scrollWidth") > width:
                    found.append(f"{page}, {scheme}: wider than {width} pixels")
        browser.close()
    print(*found, f"{len(PAGES)} pages, {len(found)} faults", sep="\n")
    return len(found)


if __name__ == "__main__":
    if not (CHROMIUM.exists() and AXE.exists()):
        print("Chromium or axe-core is missing: the site's accessibility is not checked.")
    else:
        sys.exit(min(1, main(Path(sys.argv[1]))))
