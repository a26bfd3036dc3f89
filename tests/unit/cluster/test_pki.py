import ssl
import stat
import threading

from cryptography import x509
from cryptography.x509.oid import NameOID

from wherry.aio.clock import ManualClock
from wherry.cluster.certificates import LEAF_DAYS
from wherry.cluster.options import Options
from wherry.cluster.pki import Pki, ensure

DAY = 86400


def certificate(pki, name):
    return x509.load_pem_x509_certificate(pki.certificate(name).read_bytes())


def test_files_are_for_their_owner_only_and_made_once(tmp_path):
    pki, clock = Pki(tmp_path / "pki"), ManualClock()
    ensure(pki, Options(), clock.time())
    before = {file.name: file.read_bytes() for file in pki.directory.iterdir()}
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in pki.directory.iterdir())
    ensure(pki, Options(), clock.time())
    assert {file.name: file.read_bytes() for file in pki.directory.iterdir()} == before


def test_the_server_certificate_names_every_way_to_the_api(tmp_path):
    pki = Pki(tmp_path)
    ensure(pki, Options(), ManualClock().time())
    names = certificate(pki, "apiserver").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"} <= set(
        names.get_values_for_type(x509.DNSName)
    )
    assert {"127.0.0.1", "10.96.0.1"} <= {str(ip) for ip in names.get_values_for_type(x509.IPAddress)}


def test_the_administrator_is_in_system_masters(tmp_path):
    pki = Pki(tmp_path)
    ensure(pki, Options(), ManualClock().time())
    subject = certificate(pki, "admin").subject
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "kubernetes-admin"
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:masters"


def test_a_leaf_is_renewed_before_it_ends_and_when_a_name_is_missing(tmp_path):
    pki, clock = Pki(tmp_path), ManualClock()
    ensure(pki, Options(), clock.time())
    first, authority = certificate(pki, "admin"), pki.ca.read_bytes()
    server = certificate(pki, "apiserver")
    ensure(pki, Options(service_cidr="10.43.0.0/16"), clock.time())
    assert certificate(pki, "apiserver").serial_number != server.serial_number
    assert certificate(pki, "admin") == first
    clock.advance((LEAF_DAYS - 20) * DAY)
    ensure(pki, Options(), clock.time())
    assert certificate(pki, "admin").not_valid_after_utc > first.not_valid_after_utc
    assert pki.ca.read_bytes() == authority


def test_a_leaf_is_renewed_when_its_subject_is_another(tmp_path):
    pki, clock = Pki(tmp_path), ManualClock()
    ensure(pki, Options(node="one"), clock.time())
    first, server = certificate(pki, "node-agent"), certificate(pki, "admin")
    groups = [each.value for each in first.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    assert groups == ["system:nodes", "wherry:node-agents"]
    ensure(pki, Options(node="two"), clock.time())
    assert certificate(pki, "node-agent").subject != first.subject
    assert certificate(pki, "admin") == server


def test_openssl_accepts_what_we_sign(tmp_path):
    pki = Pki(tmp_path)
    ensure(pki, Options(), ManualClock().time())
    context = ssl.create_default_context(cafile=str(pki.ca))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("apiserver", "admin", "node-agent"):
        context.load_cert_chain(pki.certificate(name), pki.key(name))


def test_several_at_once_make_one_set(tmp_path):
    pki = Pki(tmp_path)
    threads = [threading.Thread(target=ensure, args=(pki, Options(), ManualClock().time())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    context = ssl.create_default_context(cafile=str(pki.ca))
    for name in ("apiserver", "admin", "node-agent"):
        context.load_cert_chain(pki.certificate(name), pki.key(name))  # raises when one is of another key
        certificate(pki, name).verify_directly_issued_by(x509.load_pem_x509_certificate(pki.ca.read_bytes()))
