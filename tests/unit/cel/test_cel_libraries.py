"""The functions Kubernetes adds."""

from __future__ import annotations

from typing import Any

import pytest

from wherry import cel
from wherry.cel.libraries.authorizer import AUTHORIZER, Authorizer, Decision, Question
from wherry.cel.libraries.patches import object_type, plain

ENVIRONMENT = cel.Environment({"authorizer": AUTHORIZER, "object": cel.DYN}, object_type=object_type)


def value(text: str, **variables: Any) -> Any:
    found = cel.compile(text, ENVIRONMENT).evaluate(variables)
    if isinstance(found, cel.Optional):
        return "none" if found is cel.NONE else found.value
    return found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("'tacocat'.charAt(3)", "o"),
        ("'abc'.charAt(3)", ""),
        ("'hello mellow'.indexOf('ello', 2)", 7),
        ("'hello mellow'.lastIndexOf('ello', 6)", 1),
        ("'a'.indexOf('b', 7)", -1),
        ("'TacoCät'.lowerAscii() + 'é'.upperAscii()", "tacocäté"),
        ("'hello hello'.replace('he', 'we', 1)", "wello hello"),
        ("'abc'.replace('', '-')", "-a-b-c-"),
        ("'a b c'.split(' ', 2)", ["a", "b c"]),
        ("'abc'.split('')", ["a", "b", "c"]),
        ("'tacocat'.substring(0, 4)", "taco"),
        ("'  a\\t'.trim()", "a"),
        ("['x', 'y'].join(', ')", "x, y"),
        ("strings.quote('a\"\\n')", '"a\\"\\n"'),
        ("'%s|%d|%.3f|%x|%X|%o|%b|%e|%%'.format(['a', 5, 1.5, 255, 'ab', 8, 5, 1500.0])",
         "a|5|1.500|ff|6162|10|101|1.500000\u202f×\u202f10⁰³|%"),
        ("'%.1f %f %f %s %s'.format([12345.67, 'Infinity', 'NaN', 1e6, b'x'])", "12,345.7 ∞ NaN 1e+06 x"),
        ("'%s %s %s'.format([[1, 'a'], {'b': 1, 'a': 2}, null])", "[1, \"a\"] {\"a\":2, \"b\":1} null"),
        ("'%s'.format([[1.5, timestamp(0), duration('1s'), b'x', int]])",
         "[1.500000, timestamp(\"1970-01-01T00:00:00Z\"), duration(\"1s\"), b\"x\", int]"),
        ("'abc 123'.find('[0-9]+')", "123"),
        ("'123 abc 456'.findAll('[0-9]+')", ["123", "456"]),
        ("'123 abc 456'.findAll('[0-9]+', 1)", ["123"]),
        ("[1, 2, 2].isSorted() && !['b', 'a'].isSorted()", True),
        ("[1, 3].sum() + [4, 2].max() + [4, 2].min()", 10),
        ("[1.5, 2.5].sum()", 4.0),
        ("[duration('1s'), duration('2s')].sum() == duration('3s')", True),
        ("[].indexOf(1) + ['a', 'b', 'a'].lastIndexOf('a')", 1),
        ("sets.contains([1, 2], [2]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])", True),
    ],
)  # fmt: skip
def test_strings_lists_sets(text: str, wanted: Any) -> None:
    assert value(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "quantity('1Gi').isGreaterThan(quantity('1G'))",
        "quantity('50k').add(20) == quantity('50020') && quantity('1').sub(quantity('2')).sign() == -1",
        "quantity('50k').isInteger() && quantity('50k').asInteger() == 50000 && !quantity('9.5').isInteger()",
        "quantity('1500m').asApproximateFloat() == 1.5 && quantity('1').compareTo(quantity('1000m')) == 0",
        "isQuantity('1.3Gi') && !isQuantity('1,3')",
        "ip('192.168.0.1').family() == 4 && ip('::1').isLoopback() && ip('0.0.0.0').isUnspecified()",
        "isIP('::1') && !isIP('1.2.3') && !isIP('fe80::1%eth0') && !isIP('::ffff:1.2.3.4') && !isIP('01.2.3.4')",
        "ip.isCanonical('2001:db8::abcd') && !ip.isCanonical('2001:DB8::ABCD')",
        "ip('224.0.0.1').isLinkLocalMulticast() && ip('169.254.1.1').isLinkLocalUnicast() && ip('8.8.8.8').isGlobalUnicast()",
        "cidr('192.168.0.0/24').containsIP('192.168.0.1') && !cidr('192.168.0.0/24').containsIP(ip('::1'))",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.1.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
        "cidr('10.0.0.1/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.1/8').ip() == ip('10.0.0.1')",
        "cidr('::1/128').prefixLength() == 128 && string(cidr('10.0.0.0/8')) == '10.0.0.0/8' && !isCIDR('10.0.0.0')",
        "type(ip('1.2.3.4')) == net.IP && type(cidr('1.2.3.4/32')) == net.CIDR",
        "semver('1.0.0-alpha.1').isLessThan(semver('1.0.0-alpha.beta')) && semver('1.0.0').isGreaterThan(semver('1.0.0-rc'))",
        "semver('1.2.3').major() + semver('1.2.3').minor() + semver('1.2.3').patch() == 6",
        "isSemver('1.2.3+meta') && !isSemver('1.2') && !isSemver('01.2.3') && isSemver('v01.2', true)",
        "semver('1.0.0+a') == semver('1.0.0+b') && semver('1.2.3').compareTo(semver('1.2.4')) == -1",
        "url('https://user@example.com:8080/a%20b?k=1&k=2').getHost() == 'example.com:8080'",
        "url('https://[::1]:80/').getHostname() == '::1' && url('https://[::1]:80/').getPort() == '80'",
        "url('https://e.com/a b').getEscapedPath() == '/a%20b' && url('/path').getScheme() == ''",
        "url('https://e.com/?k=1&k=2&x=a%20b').getQuery() == {'k': ['1', '2'], 'x': ['a b']}",
        "isURL('https://e.com/') && isURL('/absolute') && !isURL('../relative') && !isURL('')",
        "!format.dns1123Label().validate('my-name').hasValue() && format.dns1123Label().validate('My').hasValue()",
        "format.named('uuid').value().validate('x').value() == ['does not match the UUID format']",
        "!format.named('nothing').hasValue() && !format.dns1035LabelPrefix().validate('web-').hasValue()",
        "!format.datetime().validate('2024-01-01T00:00:00Z').hasValue() && format.date().validate('2024-13-01').hasValue()",
        "!format.byte().validate('aGk=').hasValue() && format.byte().validate('a').hasValue()",
        "!format.uri().validate('/x').hasValue() && format.uri().validate('x').hasValue()",
        "jsonpatch.escapeKey('example.com/a~b') == 'example.com~1a~0b'",
    ],
)  # fmt: skip
def test_kubernetes(text: str) -> None:
    assert value(text) is True


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("quantity('x')", "quantities must match the regular expression"),
        ("quantity('9.5').asInteger()", "cannot convert value to integer"),
        ("ip('1.2.3')", 'IP Address "1.2.3" parse error during conversion from string'),
        ("semver('1.2')", "Semver parse error during conversion from string"),
        ("url('../x')", 'URL parse error during conversion from string: parse "../x": invalid URI for request'),
        ("'a'.substring(2)", "index out of range: 2"),
        ("'abc'.substring(2, 1)", "invalid substring range. start: 2, end: 1"),
        (
            "'%d'.format([dyn('a')])",
            "error during formatting: decimal clause can only be used on integers, was given string",
        ),
        ("('%s' + '%s').format(['a'])", "index 1 out of range"),
        ("('%' + 'y').format([1])", 'could not parse formatting clause: unrecognized formatting clause "y"'),
        ("[].map(x, 1).max()", "max called on empty list"),
        ("'a'.find('(' + 'a')", "error parsing regexp: missing ): (a"),
        ("'a'.matches('(?=' + 'a)')", "error parsing regexp"),
    ],
)
def test_failures(text: str, error: str) -> None:
    with pytest.raises(cel.Failure) as caught:
        value(text)
    assert str(caught.value).startswith(error)


class Asked:
    """Allows to get; remembers what it was asked."""

    def __init__(self) -> None:
        self.questions: list[Question] = []

    def decide(self, question: Question) -> Decision:
        self.questions.append(question)
        return Decision(question.verb == "get", "because", "" if question.group != "broken" else "no answer")


def test_authorizer_asks_the_authority() -> None:
    asked = Asked()
    given = Authorizer(asked)
    text = (
        "authorizer.group('apps').resource('deployments').subresource('scale').namespace('shop').name('web')"
        ".fieldSelector('a=b').labelSelector('c=d').check('get').allowed()"
    )
    assert value(text, authorizer=given) is True
    assert value("authorizer.path('/healthz').check('post').reason()", authorizer=given) == "because"
    assert value(
        "authorizer.serviceAccount('ns', 'sa').group('broken').resource('x').check('get').errored()", authorizer=given
    )
    assert asked.questions == [
        Question("get", "", "apps", "deployments", "scale", "shop", "web", "a=b", "c=d"),
        Question("post", "/healthz"),
        Question("get", "", "broken", "x", service_account=("ns", "sa")),
    ]


def test_two_checks_fit_one_evaluation_three_do_not() -> None:
    check = "authorizer.path('/x').check('get').allowed()"
    assert value(" && ".join([check] * 2), authorizer=Authorizer(Asked()))
    with pytest.raises(cel.CostExceeded):
        value(" && ".join([check] * 3), authorizer=Authorizer(Asked()))


def test_patches_and_objects_become_json() -> None:
    patch = value("[JSONPatch{op: 'add', path: '/spec/n', value: {'a': dyn(1u), 'q': quantity('1Gi')}}]")
    assert plain(patch) == [{"op": "add", "path": "/spec/n", "value": {"a": 1, "q": "1Gi"}}]
    made = value("Object{spec: Object.spec{replicas: object.n + 1, ?gone: object.?gone}}", object={"n": 2})
    assert plain(made) == {"spec": {"replicas": 3}}
    with pytest.raises(cel.Failure, match=r'unexpected type name "Object[.]status", expected "Object[.]spec"'):
        plain(value("Object{spec: Object.status{}}"))
    with pytest.raises(cel.CompileErrors, match=r"undefined field 'what'"):
        value("JSONPatch{what: 1}")
