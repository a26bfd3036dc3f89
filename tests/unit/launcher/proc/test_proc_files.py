"""Tier proc, decided without a process: which paths are promised, writable layers path by path, layers of RUN."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from container_specs import container_spec

from wherry.launcher import whiteouts
from wherry.launcher.proc.difference import reduce
from wherry.launcher.proc.executables import find_program, words_of_script
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.overlay import Overlay
from wherry.launcher.proc.paths import Paths, Promise, parents, plan
from wherry.launcher.proc.promises import prepare
from wherry.launcher.proc.reach import LeadsElsewhereError
from wherry.launcher.protocol import LauncherError
from wherry.launcher.rootfs import Writable
from wherry.launcher.specs import MountSpec


def test_the_longest_promise_wins() -> None:
    paths = Paths([Promise(b"/data", b"/real/d"), Promise(b"/data/sub", b"/real/s", readonly=True)])
    assert paths.find(b"/data") == (b"/real/d", False)
    assert paths.find(b"/data/x/y") == (b"/real/d/x/y", False)
    assert paths.find(b"/data/sub/x") == (b"/real/s/x", True)
    assert paths.find(b"/data/") == (b"/real/d/", False)
    assert paths.find(b"//data/./x/../y") == (b"/real/d/y", False)
    assert paths.find(b"/etc/../data/x") == (b"/real/d/x", False)
    for path in (b"/", b"/datax", b"/dat", b"data", b"/etc/passwd", b""):
        assert paths.find(path) is None
    assert paths.shown(b"/real/s/x") == b"/data/sub/x"
    assert paths.shown(b"/real") is None
    assert paths.concerns(b"sub/x")
    assert not paths.concerns(b"other")


def test_a_real_path_is_itself() -> None:
    """State may lie in /tmp, which every container is promised anew."""
    paths = Paths([Promise(b"/tmp", b"/tmp/state/own/tmp")])
    assert paths.find(b"/tmp/x") == (b"/tmp/state/own/tmp/x", False)
    assert paths.find(b"/tmp/state/own/tmp/x") is None


def test_parents_that_the_machine_lacks_are_promised_too() -> None:
    wanted = Promise(b"/var/run/secrets/kubernetes.io/serviceaccount", b"/real/token", readonly=True)
    exists: dict[bytes, bytes | None] = dict.fromkeys(parents(wanted.target))
    exists |= {b"/var": b"/var", b"/var/run": b"/run"}
    promises, directories = plan([wanted], b"/skeleton", exists)
    paths = Paths(promises)
    assert directories == [wanted.target]
    assert paths.find(b"/var/run/secrets") == (b"/skeleton/var/run/secrets", True)
    # /var/run is a link to /run: programs that resolve it first find the same.
    assert paths.find(b"/run/secrets/kubernetes.io/serviceaccount/token") == (b"/real/token/token", True)


def test_what_is_written_is_found_first(tmp_path: Path) -> None:
    overlay, upper = Overlay(os.fsencode(tmp_path), b"/state"), os.fsencode(tmp_path)
    assert overlay.find(b"/etc/hostname-of-nobody", changes=False) is None
    assert overlay.find(b"/etc/passwd", changes=False) is None
    assert overlay.find(b"/etc/passwd", changes=True) == upper + b"/etc/passwd"
    assert (tmp_path / "etc/passwd").read_bytes() == Path("/etc/passwd").read_bytes()
    assert overlay.find(b"/etc/passwd", changes=False) == upper + b"/etc/passwd"
    assert overlay.find(b"/etc", changes=False) is None  # the machine's directory lists more
    assert overlay.find(b"/new", changes=True) == upper + b"/new"
    assert overlay.find(b"/no/such/folder/file", changes=True) is None
    for kernel in (b"/proc/self/oom_score_adj", b"/dev/null", b"/sys/x", b"/"):
        assert overlay.find(kernel, changes=True) is None
    assert overlay.shown(upper + b"/new/x") == b"/new/x"


def layer(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_sh", ".sh")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    return root


@pytest.mark.parametrize("readonly", [False, True])
def test_an_images_files_are_where_it_says(tmp_path: Path, readonly: bool) -> None:
    lower = layer(tmp_path / "lower", app__old="old", app__main_sh="#!/app/sh -e\necho", etc__wherry_test="conf")
    upper = layer(tmp_path / "upper", app__sh="a shell", app__new="new")
    whiteouts.make(upper / "app/old")
    (upper / "app/tool").symlink_to("/app/main.sh")
    spec = container_spec(upper, lower, readonly_rootfs=readonly)
    writable = Writable(str(tmp_path / "container"))
    paths = Paths(prepare(spec, writable, str(tmp_path / "shared")))
    found = paths.find(b"/app/new")
    assert found is not None
    assert (Path(os.fsdecode(found[0])).read_text(), found[1]) == ("new", readonly)
    old = paths.find(b"/app/old")
    assert old is not None
    assert not os.path.exists(old[0])
    conf = paths.find(b"/etc/wherry_test")
    assert conf is not None
    assert Path(os.fsdecode(conf[0])).read_text() == "conf"
    assert paths.find(b"/etc/passwd") is None
    own = paths.find(b"/tmp/x")
    assert own is not None
    assert own[0].startswith(os.fsencode(tmp_path))
    guest = Guest.of_files(paths)
    program = find_program("main.sh", {"PATH": "/nowhere:/app"}, guest)
    assert program.name == "/app/main.sh"
    assert words_of_script(program, guest) == (
        str(Path(program.real).parent / "sh"), ["/app/sh", "-e", "/app/main.sh"]
    )  # fmt: skip
    assert find_program("/app/tool", {}, guest) == ("/app/tool", program.real)
    with pytest.raises(LauncherError, match="executable file not found"):
        find_program("absent", {"PATH": "/app"}, guest)


def test_what_cannot_be_given_is_refused_by_name(tmp_path: Path) -> None:
    writable = Writable(str(tmp_path / "container"))
    mount: MountSpec = {"source": str(tmp_path), "target": "/dev", "readonly": False, "propagation": "private"}
    for spec, text in (
        (container_spec(host=False), "app:v1 has neither layers nor the machine's root"),
        (container_spec(mounts=(mount,)), "mount /dev: tier proc shows the machine's own /dev"),
        (container_spec(mounts=({**mount, "target": "/"},)), "mount /: "),
        (container_spec(mounts=({**mount, "propagation": "Bidirectional"},)), "Bidirectional propagation"),
    ):
        with pytest.raises(LauncherError, match=text):
            prepare(spec, writable, str(tmp_path / "shared"))
        if (tmp_path / "container").exists():
            for path in sorted((tmp_path / "container").rglob("*"), reverse=True):
                path.rmdir()
            (tmp_path / "container").rmdir()


def test_a_layer_is_what_was_changed(tmp_path: Path) -> None:
    lower = layer(tmp_path / "lower", app__same="same", app__changed="before", app__gone="x", app__sub__deep="deep")
    writable = Writable(str(tmp_path / "container"))
    prepare(container_spec(lower), writable, str(tmp_path / "shared"))
    upper = Path(writable.upper)
    (upper / "app/changed").write_text("after, longer")
    (upper / "app/gone").unlink()
    (upper / "app/made").write_text("made")
    reduce([str(lower)], str(upper))
    left = {str(path.relative_to(upper)): path.lstat().st_mode for path in upper.rglob("*")}
    assert left.keys() == {"app", "app/changed", "app/gone", "app/made"}
    assert stat.S_ISCHR(left["app/gone"])


def test_what_is_removed_is_gone_until_it_is_made_again(tmp_path: Path) -> None:
    upper = os.fsencode(tmp_path / "upper")
    os.mkdir(upper)
    overlay = Overlay(upper, b"/state")
    own = overlay.find(b"/etc/hostname-of-nobody", changes=True)
    assert own is not None
    overlay.hide(b"/etc/hostname-of-nobody")  # the machine does not have it
    assert not os.path.lexists(own)
    own = overlay.find(b"/etc/passwd", changes=True)
    assert own is not None
    os.unlink(own)
    overlay.hide(b"/etc/passwd")
    assert stat.S_ISCHR(os.lstat(own).st_mode)  # overlayfs' mark
    for changes in (False, True):
        gone = overlay.find(b"/etc/passwd", changes=changes)
        assert gone is not None
        assert not os.path.lexists(gone)
    assert overlay.find(b"/etc/passwd", changes=True, creates=True) == own
    Path(os.fsdecode(own)).write_text("mine")
    assert overlay.find(b"/etc/passwd", changes=False) == own
    overlay.hide(b"/etc")  # a directory of the machine stays
    assert overlay.find(b"/etc", changes=False) is None


@pytest.mark.parametrize("readonly", [False, True])
def test_what_an_image_removed_of_the_machine_is_gone(tmp_path: Path, readonly: bool) -> None:
    removes = layer(tmp_path / "layer", usr__share__x="1")
    (removes / "etc").mkdir()
    whiteouts.make(removes / "etc/passwd")
    whiteouts.make(removes / "etc/no-such-file-here")
    spec = container_spec(removes, readonly_rootfs=readonly)
    writable = Writable(str(tmp_path / "container"))
    os.mkdir(writable.directory)
    made = prepare(spec, writable, str(tmp_path / "shared"))
    found = Paths(made).find(b"/etc/passwd")
    if readonly:
        assert found is not None
        assert not os.path.exists(found[0])
    else:
        assert found is None
        gone = Overlay(os.fsencode(os.path.realpath(writable.upper)), b"/state").find(b"/etc/passwd", changes=False)
        assert gone is not None
        assert not os.path.lexists(gone)
    assert not os.path.lexists(f"{writable.upper}/etc/no-such-file-here")


def test_the_way_out_of_what_was_promised() -> None:
    guest = Guest(-1, "", "", "", "", Paths([Promise(b"/app", b"/real/app")]))
    inside = guest.find(b"/app/x/../y", changes=False)
    assert inside is not None
    assert inside.real == b"/real/app/y"
    for path, name in ((b"/app/..", b"/"), (b"/app/x/../../usr/", b"/usr"), (b"/usr/../app/../etc", b"/etc")):
        found = guest.find(path, changes=False)
        assert found is not None
        with pytest.raises(LeadsElsewhereError) as caught:
            found.open(os.O_PATH)
        assert caught.value.path == name
        with pytest.raises(LeadsElsewhereError), found.parent():
            pass
    assert guest.find(b"/usr/../etc", changes=False) is None


def test_a_layer_knows_its_first_names(tmp_path: Path) -> None:
    """By them most of the machine's paths are told apart without a look at the disk."""
    upper = tmp_path / "upper"
    (upper / "app").mkdir(parents=True)
    overlay = Overlay(os.fsencode(upper), b"/state")
    guest = Guest.of_files(Paths([Promise(b"/data", b"/real")]), overlay)
    assert overlay.tops == {b"app"}
    assert guest.find(b"/usr/bin/new", changes=False) is None
    for path in (b"/usr/bin/new", b"/new"):
        made = guest.find(path, changes=True, creates=True)
        assert made is not None
        Path(os.fsdecode(made.real)).write_text("")
        found = guest.find(path, changes=False)
        assert found is not None
        assert found.real == made.real
    assert overlay.tops == {b"app", b"usr", b"new"}
    for path, leads_to in ((b"/usr/../data/x", b"/real/x"), (b"//data/x", b"/real/x"), (b"/./new", upper / "new")):
        found = guest.find(path, changes=False)
        assert found is not None
        assert found.real == os.fsencode(leads_to)
    assert Overlay(os.fsencode(tmp_path / "removed"), b"/state").tops == set()


def test_what_lies_behind_a_link_of_the_machine_has_two_names(tmp_path: Path) -> None:
    """/var/run is a link to /run on most machines, /bin one to /usr/bin."""
    upper = os.fsencode(tmp_path)
    link, real = next((path, os.path.realpath(path)) for path in (b"/bin", b"/lib", b"/sbin") if os.path.islink(path))
    guest = Guest.of_files(Paths([]), Overlay(upper, b"/state"))
    for first, other in ((link, real), (real, link)):
        name = b"/new-" + first.replace(b"/", b"-")
        assert guest.find(other + name, changes=False) is None
        made = guest.find(first + name, changes=True, creates=True)
        assert made is not None
        assert (made.name, made.real) == (real + name, upper + real + name)
        Path(os.fsdecode(made.real)).write_text("")
        for each in (first, other):
            for changes in (False, True):
                found = guest.find(each + name, changes=changes)
                assert found is not None
                assert found.real == made.real
    promised = Guest.of_files(Paths([Promise(real + b"/tool", b"/real")]))
    found = promised.find(link + b"/tool", changes=False)
    assert found is not None
    assert (found.name, found.real) == (real + b"/tool", b"/real")
    volume = Guest.of_files(Paths([Promise(link, b"/volume")]))
    inside = volume.find(link + b"/tool", changes=False)
    assert inside is not None
    assert inside.real == b"/volume/tool"
