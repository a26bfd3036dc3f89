import json

from wherry.api.scheme import Scheme
from wherry.client.three_way import LAST_APPLIED, last_applied, three_way, with_last_applied

SCHEME = Scheme.load("1.36")
DEPLOYMENT = SCHEME.schema(SCHEME.by_kind("apps/v1", "Deployment"))


def deployment(*containers, **more):
    return {"spec": {"template": {"spec": {"containers": list(containers), **more}}}}


def container(name, image, **more):
    return {"name": name, "image": image, **more}


def spec_of(patch):
    return patch["spec"]["template"]["spec"]


def test_nothing_to_change_is_an_empty_patch():
    live = deployment(container("web", "web:v1", imagePullPolicy="IfNotPresent"), restartPolicy="Always")
    wanted = deployment(container("web", "web:v1"))
    assert three_way(wanted, wanted, live, DEPLOYMENT) == {}


def test_a_changed_field_is_sent_with_its_merge_key_only():
    was, now = deployment(container("web", "web:v1", env=[])), deployment(container("web", "web:v2", env=[]))
    assert spec_of(three_way(was, now, was, DEPLOYMENT)) == {
        "$setElementOrder/containers": [{"name": "web"}],
        "containers": [{"name": "web", "image": "web:v2"}],
    }


def test_a_field_no_longer_applied_goes_and_what_others_wrote_stays():
    was = deployment(container("web", "web:v1", command=["run"]), hostname="old")
    live = deployment(container("web", "web:v1", command=["run"]), hostname="old", nodeName="node")
    now = deployment(container("web", "web:v1"))
    patch = spec_of(three_way(was, now, live, DEPLOYMENT))
    assert patch["hostname"] is None
    assert patch["containers"] == [{"name": "web", "command": None}]
    assert "nodeName" not in patch


def test_an_element_no_longer_applied_is_deleted_one_that_others_added_stays():
    was = deployment(container("web", "web:v1"), container("old", "old:v1"))
    live = deployment(container("web", "web:v1"), container("old", "old:v1"), container("injected", "x:v1"))
    now = deployment(container("web", "web:v1"))
    patch = spec_of(three_way(was, now, live, DEPLOYMENT))
    assert patch["containers"] == [{"$patch": "delete", "name": "old"}]


def test_without_a_schema_lists_are_replaced():
    assert three_way({}, {"spec": {"list": [1, 2]}}, {"spec": {"list": [1], "x": 1}}, None) == {
        "spec": {"list": [1, 2]}
    }


def test_true_and_one_differ():
    assert three_way({}, {"spec": {"a": True}}, {"spec": {"a": 1}}, None) == {"spec": {"a": True}}


def test_the_annotation_is_the_text_kubectl_would_write():
    obj = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}, "data": {"a": "<&>"}}
    text = with_last_applied(obj)["metadata"]["annotations"][LAST_APPLIED]
    assert text == (
        '{"apiVersion":"v1","data":{"a":"\\u003c\\u0026\\u003e"},"kind":"ConfigMap",'
        '"metadata":{"annotations":{},"name":"c"}}\n'
    )
    assert last_applied(with_last_applied(obj)) == json.loads(text)
    again = with_last_applied(with_last_applied(obj))
    assert again["metadata"]["annotations"][LAST_APPLIED] == text
