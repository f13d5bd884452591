import os

from tests.silo.test_silo_pruning import run_here

from septum.protocol.silo import SiloPhase


def silo_in(folder):
    folder.mkdir()
    (folder / "silo.toml").write_text('[silo]\nname = "north"\ncoordinator = "https://localhost:1"\n')
    return folder


def test_prune_says_first_what_would_go_and_removes_it_with_yes(septum, tmp_path):
    silo = silo_in(tmp_path / "north")
    old = run_here(silo, "r-old", SiloPhase.ENDED, days=0)
    os.utime(old, (1.0, 1.0))
    working = run_here(silo, "r-working", SiloPhase.ACTIVE, days=0)
    os.utime(working, (1.0, 1.0))

    said = septum("silo", "prune", "--dir", str(silo), "--json").envelope["data"]
    assert ([one["name"] for one in said["items"]], said["done"]) == (["r-old"], False)
    assert said["size_bytes"] == said["items"][0]["size_bytes"] > 1000
    assert old.exists()
    told = septum("silo", "prune", "--dir", str(silo)).out
    assert "1 things with" in told
    assert "would go; the same command with --yes removes them" in told

    done = septum("silo", "prune", "--dir", str(silo), "--yes", "--json").envelope["data"]
    assert ([one["name"] for one in done["items"]], done["done"]) == (["r-old"], True)
    assert not old.exists()
    assert working.exists()
    assert septum("silo", "prune", "--dir", str(silo)).out.startswith("nothing to remove")


def test_prune_wants_a_silos_directory(septum, tmp_path):
    assert septum("silo", "prune", "--dir", str(tmp_path), "--json").code == 2
