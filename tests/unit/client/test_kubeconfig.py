"""kubectl's rules for kubeconfig files."""

from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from wherry.client import kubeconfig
from wherry.client.kubeconfig_load import KubeconfigError, load, paths, resolve

KIND: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "preferences": {"colors": True},
    "x-unknown": {"kept": [1, 2]},
    "clusters": [{"name": "kind", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority": "ca.crt"}}],
    "users": [{"name": "kind", "user": {"token": "t", "x-more": 1}}],
    "contexts": [{"name": "kind", "context": {"cluster": "kind", "user": "kind", "namespace": "dev"}}],
    "current-context": "kind",
}
OURS = {"server": "https://127.0.0.1:6443", "ca": b"CA", "certificate": b"CERT", "key": b"KEY"}


def put(path: Path, config: Any) -> Path:
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    return path


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def no_pause(seconds: float) -> None:
    raise AssertionError("nobody holds the lock")


def write(*files: Path, name: str = "wherry") -> Path:
    return kubeconfig.write(name, **OURS, files=files, pause=no_pause)


def remove(*files: Path, name: str = "wherry") -> Path | None:
    return kubeconfig.remove(name, files=files, pause=no_pause)


# Finding and merging


def test_the_environment_names_the_files() -> None:
    assert paths({"HOME": "/home/u"}) == [Path("/home/u/.kube/config")]
    assert paths({"HOME": "/home/u", "KUBECONFIG": ""}) == [Path("/home/u/.kube/config")]
    assert paths({"KUBECONFIG": "a::b:a"}) == [Path("a"), Path("b")]


def test_the_first_to_name_a_thing_wins(tmp_path: Path) -> None:
    first = put(tmp_path / "1", {"contexts": [{"name": "kind", "context": {"cluster": "other"}}]})
    second = put(tmp_path / "2", KIND)
    config = load([first, tmp_path / "missing", second])
    assert [context["context"]["cluster"] for context in config["contexts"]] == ["other"]
    assert config["current-context"] == "kind"
    assert config["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "ca.crt")


def test_an_empty_file_is_an_empty_config(tmp_path: Path) -> None:
    assert load([put(tmp_path / "c", "")])["contexts"] == []


@pytest.mark.parametrize(
    ("text", "why"), [("a: [", "not YAML"), ("- a", "should be a mapping"), ("contexts: {a: 1}", "list of entries")]
)
def test_nonsense_is_refused_with_the_file_named(tmp_path: Path, text: str, why: str) -> None:
    path = put(tmp_path / "broken", text)
    with pytest.raises(KubeconfigError, match=why) as caught:
        load([path])
    assert str(path) in str(caught.value)


# Resolving


def test_a_context_says_how_to_connect(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"CA")
    access = resolve(load([put(tmp_path / "c", KIND)]))
    assert (access.context, access.server, access.namespace) == ("kind", "https://127.0.0.1:1", "dev")
    assert (access.ca, access.token, access.certificate, access.verify) == (b"CA", "t", None, True)


def test_data_wins_over_files_and_a_token_over_its_file(tmp_path: Path) -> None:
    config = load([write(tmp_path / "c")])
    config["users"][0]["user"].update({"client-certificate": "/nowhere", "token": "t", "tokenFile": "/nowhere"})
    access = resolve(config, "wherry")
    assert (access.ca, access.certificate, access.key) == (b"CA", b"CERT", b"KEY")
    assert (access.token, access.token_file) == ("t", None)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"current-context": ""}, "current-context is not set"),
        ({"current-context": "gone"}, 'context "gone" does not exist'),
        ({"clusters": []}, 'cluster "kind" does not exist'),
        ({"users": [{"name": "kind", "user": {"exec": {}}}]}, "plug-in"),
        ({"users": [{"name": "kind", "user": {"client-key-data": "SOVZ"}}]}, "needs both"),
        ({"users": [{"name": "kind", "user": {"client-key-data": "!"}}]}, "not base64"),
        ({}, "cannot read .*ca.crt"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    config = load([put(tmp_path / "c", {**KIND, **change})])
    with pytest.raises(KubeconfigError, match=why):
        resolve(config)


# Writing


def test_a_new_file_is_made_private_and_removed_again(tmp_path: Path) -> None:
    path = tmp_path / ".kube" / "config"
    assert write(path) == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    config = read(path)
    assert config["current-context"] == "wherry"
    assert config["clusters"] == [
        {
            "name": "wherry",
            "cluster": {
                "server": OURS["server"],
                "certificate-authority-data": base64.b64encode(b"CA").decode(),
            },
        }
    ]
    assert config["contexts"][0]["context"]["user"] == "wherry"
    assert remove(path) == path
    assert not path.exists()
    assert remove(path) is None
    assert list(path.parent.iterdir()) == [], "no lock, no temporary file"


def test_everything_else_stays_and_removal_restores_it(tmp_path: Path) -> None:
    path = put(tmp_path / "config", KIND)
    path.chmod(0o644)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    config = read(path)
    assert config["current-context"] == "wherry"
    for key in ("preferences", "x-unknown"):
        assert config[key] == KIND[key]
    assert [user["name"] for user in config["users"]] == ["kind", "wherry"]
    assert remove(path) == path
    assert read(path) == KIND


def test_renewing_keeps_what_users_added_and_what_was_current_before(tmp_path: Path) -> None:
    path = put(tmp_path / "config", KIND)
    write(path)
    config = read(path)
    config["contexts"][1]["context"]["namespace"] = "shop"
    put(path, config)
    kubeconfig.write("wherry", **{**OURS, "server": "https://127.0.0.1:7000"}, files=[path], pause=no_pause)
    config = read(path)
    assert [cluster["cluster"]["server"] for cluster in config["clusters"]] == [
        "https://127.0.0.1:1",
        "https://127.0.0.1:7000",
    ]
    assert config["contexts"][1]["context"]["namespace"] == "shop"
    remove(path)
    assert read(path) == KIND


def test_a_current_context_the_user_chose_stays(tmp_path: Path) -> None:
    path = put(tmp_path / "config", KIND)
    write(path)
    put(path, {**read(path), "current-context": "kind"})
    remove(path)
    assert read(path)["current-context"] == "kind"


def test_a_context_that_is_gone_is_not_restored(tmp_path: Path) -> None:
    path = put(tmp_path / "config", KIND)
    write(path)
    config = read(path)
    put(path, {**config, "contexts": config["contexts"][1:]})
    remove(path)
    assert read(path)["current-context"] == ""


def test_two_systems_side_by_side(tmp_path: Path) -> None:
    path = put(tmp_path / "config", KIND)
    write(path)
    write(path, name="wherry-two")
    assert read(path)["current-context"] == "wherry-two"
    remove(path, name="wherry-two")
    assert read(path)["current-context"] == "wherry"
    remove(path)
    assert read(path) == KIND


def test_of_several_files_the_first_that_exists_gets_what_is_new(tmp_path: Path) -> None:
    missing, first, second = tmp_path / "0", put(tmp_path / "1", {}), put(tmp_path / "2", KIND)
    assert kubeconfig.default_path([missing, first, second]) == first
    assert write(missing, first, second) == first
    assert read(second) == KIND
    assert not missing.exists()
    assert load([first, second])["current-context"] == "wherry"
    remove(missing, first, second)
    assert load([first, second])["current-context"] == "kind"
    assert kubeconfig.default_path([missing, tmp_path / "9"]) == tmp_path / "9", "else the last"


def test_an_entry_is_changed_where_it_is(tmp_path: Path) -> None:
    first, second = put(tmp_path / "1", {}), put(tmp_path / "2", KIND)
    write(second)
    assert write(first, second) == second
    assert "clusters" not in read(first)
    assert read(first)["current-context"] == "wherry"
    remove(first, second)
    assert read(second) == KIND
    assert load([first, second])["current-context"] == "kind"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target = put(tmp_path / "target", KIND)
    link = tmp_path / "link"
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert read(target)["current-context"] == "wherry"


def test_a_locked_file_is_waited_for_then_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "config", KIND)
    lock = tmp_path / "config.lock"
    lock.touch()
    pauses: list[float] = []
    with pytest.raises(KubeconfigError, match="lock exists"):
        kubeconfig.write("wherry", **OURS, files=[path], pause=pauses.append)
    assert sum(pauses) == pytest.approx(5)
    assert read(path) == KIND
    kubeconfig.write("wherry", **OURS, files=[path], pause=lambda seconds: lock.unlink())
    assert read(path)["current-context"] == "wherry"
