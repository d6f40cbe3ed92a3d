"""scripts/draw_partition.py on a made-up benchmark."""

import json
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def test_a_partition_is_drawn_and_told(csv, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import draw_partition as script

    for name, file in (("PAGE", "page.md"), ("PICTURE", "tree.png"), ("RESULT", "tree.json")):
        monkeypatch.setattr(script, name, tmp_path / file)
    script.PAGE.write_text(f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n", encoding="utf-8")
    command = ["--table", str(csv), "--maximize", "acc", "--minimize", "ms", "--samples", "35", "--at", "30"]
    assert script.main([*command, "--strategy", "lamoo-random"]) == 0
    result = json.loads(script.RESULT.read_text(encoding="utf-8"))
    assert script.PICTURE.read_bytes().startswith(b"\x89PNG")
    assert script.PAGE.read_text(encoding="utf-8") == (
        f"before\n{script.BEGIN}\n\n{script.passage(result)}\n\n{script.END}\nafter\n"
    )
    nodes = {node["identity"]: node for node in result["drawn"]["nodes"]}
    assert nodes[0]["size"] == result["drawn"]["trials"] == 30
    assert len(nodes) > 1
    assert [row["trials"] for row in result["history"]] == [10, 15, 20, 25, 30, 35]
    missing = [row["missing"] for row in result["history"]]
    assert missing == sorted(missing, reverse=True)
    capsys.readouterr()
    assert script.main([*command, "--strategy", "random"]) == 2
    assert capsys.readouterr().err == (
        "draw_partition: strategy 'random' has no partition; choose lamoo or a variant lamoo-...\n"
    )
