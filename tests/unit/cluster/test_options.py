import pytest

from wherry.cluster.options import OptionError, Options, node_name_of


def test_context_of_the_default_system_is_wherry():
    assert Options().context == "wherry"
    assert Options(name="staging").context == "wherry-staging"


def test_well_known_addresses_follow_the_ranges():
    options = Options(service_cidr="10.43.0.0/16", pod_cidr="10.42.0.0/16")
    assert (options.api_service_ip, options.dns_service_ip, options.pod_gateway) == (
        "10.43.0.1",
        "10.43.0.10",
        "10.42.0.1",
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "Shop"}, "--name 'Shop': use lower-case letters"),
        ({"kubernetes_version": "1.12"}, "--kubernetes-version '1.12': choose one of 1.25"),
        ({"tier": "vm"}, "--tier 'vm': choose one of ns-root, ns-user, proc"),
        ({"port": 70000}, "--port 70000: must be between 1 and 65535, inclusive"),
        ({"pod_cidr": "ten"}, "--pod-cidr 'ten'"),
        ({"pod_cidr": "fd00::/64"}, "must be an IPv4 range"),
        ({"pod_cidr": "10.96.0.0/16"}, "--pod-cidr 10.96.0.0/16 overlaps --service-cidr"),
        ({"eviction_hard": "memory.free<1"}, "--eviction-hard: unsupported eviction signal memory.free: use"),
        (
            {"eviction_pressure_transition_period": "soon"},
            "--eviction-pressure-transition-period 'soon': a duration is",
        ),
    ],
)
def test_a_wrong_option_is_named_with_its_value(change, text):
    with pytest.raises(OptionError) as error:
        Options().with_(**change)
    assert text in str(error.value)


def test_written_options_are_read_back_and_unknown_ones_of_a_newer_release_ignored(tmp_path):
    path = tmp_path / "deep" / "config.json"
    Options(name="shop", port=6444).save(path)
    path.write_text(path.read_text().replace('"name"', '"from_the_future": 1, "name"'))
    assert Options.load(path) == Options(name="shop", port=6444)
    assert Options.load(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    ("hostname", "name"), [("VM", "vm"), ("my_host.Local", "my-host.local"), ("--", "wherry"), ("x" * 80, "x" * 63)]
)
def test_node_name_is_a_dns_name(hostname, name):
    assert node_name_of(hostname) == name


def test_what_stored_objects_depend_on_never_changes_the_rest_only_while_stopped():
    written = Options(port=6443)
    written.refuse_changes(written, running=True)
    written.refuse_changes(Options(port=7000, kubernetes_version="1.30"), running=False)
    with pytest.raises(OptionError, match=r"--port 7000: the system runs with 6443; `wherry down` first"):
        written.refuse_changes(Options(port=7000), running=True)
    with pytest.raises(OptionError, match=r"--tier ns-user: the system runs with its default"):
        written.refuse_changes(Options(tier="ns-user"), running=True)
    with pytest.raises(OptionError, match=r"--pod-cidr 10.9.0.0/16: this system was first started with 10.244.0.0/16"):
        written.refuse_changes(Options(pod_cidr="10.9.0.0/16"), running=False)
