"""A page in Chromium, asked by a script in the page around it: the page's own policy lets no other script in."""

import html
import json
import re
import shutil
import subprocess

import pytest

FLAGS = [
    *("--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu", "--allow-file-access-from-files"),
    *("--enable-logging=stderr", "--virtual-time-budget=5000", "--window-size=1400,1000", "--dump-dom"),
]


def ask(page, folder, script, width=1280):
    """What a script returns that sees a page as `page` (its window) and `doc`; nothing may be logged.

    Args:
        page: Text of the page.
        folder: Where to write it.
        script: Body of an async function.
        width: Of the page in pixels: a window is at least 500 wide, a frame as wide as it is told.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium here")
    (folder / "inner.html").write_text(page)
    frame = folder / "frame.html"
    frame.write_text(
        f"<meta charset=utf-8><iframe id=f src=inner.html style='width:{width}px;height:900px;border:0'></iframe>"
        "<script>onload = () => setTimeout(async () => {"
        "const page = document.getElementById('f').contentWindow, doc = page.document;"
        "const turn = () => new Promise((done) => setTimeout(done, 50));"
        f"const run = async () => {{ {script} }};"
        "document.title = 'answer ' + JSON.stringify(await run().catch((error) => String(error)));"
        "}, 300)</script>"
    )
    command = [chromium, *FLAGS, str(frame)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    assert "CONSOLE" not in result.stderr, result.stderr
    return json.loads(html.unescape(re.search("<title>answer (.*?)</title>", result.stdout, re.DOTALL).group(1)))
