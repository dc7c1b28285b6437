"""Take the pictures of the README: `python docs/pictures.py HOME`, where HOME is that of `clout demo`.

A service answers from the home; Debian's Chromium opens the pages of a user, the community and a picked group. The
pictures are reduced to a palette, which makes them small.
"""

import argparse
import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent / "pictures"
WIDTH = 1120
HEIGHTS = {"user": 1120, "community": 820, "pick": 1360}  # of a user down to the reasons
COLOURS = 64
PORT = "8765"


def main() -> None:
    """Write user.png, community.png and pick.png in docs/pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    home = parser.parse_args().home
    command = [sys.executable, "-c", "from serving.cli.main import main; main()"]
    options = ["serve", "--home", str(home), "--port", PORT]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
        try:
            address = next(match[1] for line in server.stderr or () if (match := re.search(r"on (http\S+?),", line)))
            photograph(address)
        finally:
            server.terminate()


def photograph(address: str) -> None:
    """Open the pages and store what the window shows."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(color_scheme="light", timezone_id="UTC")
        page.goto(address)
        user = page.locator("tbody a").first.get_attribute("href")
        for name, path in (("user", user), ("community", "/community"), ("pick", "/pick?k=5#group")):
            page.set_viewport_size({"width": WIDTH, "height": HEIGHTS[name]})
            response = page.goto(f"{address}{path}")
            if response is None or not response.ok:
                sys.exit(f"{path} cannot be shown: {page.locator('main').inner_text()}")
            picture = Image.open(BytesIO(page.screenshot())).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            FOLDER.mkdir(exist_ok=True)
            picture.save(FOLDER / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
