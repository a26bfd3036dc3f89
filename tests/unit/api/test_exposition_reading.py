from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wherry.api.exposition import Family, Sample, histogram, text
from wherry.api.exposition_reading import NAMES_MAX, read

PAGE = """
# HELP http_requests_total How many.
# TYPE http_requests_total counter
http_requests_total{code="200",path="/a b{\\"x\\"}"} 10
http_requests_total{code="500"} 2 1700000000000
# TYPE jobs counter
jobs_total 3
# TYPE queue gauge
queue 4.5
untyped_one 1e3
# TYPE took_seconds histogram
took_seconds_bucket{le="0.1"} 5
took_seconds_bucket{le="+Inf"} 6
took_seconds_sum 1.5
took_seconds_count 6
# TYPE spread summary
spread{quantile="0.5"} 3
spread_sum 9
spread_count 3
weird NaN
worse +Inf
no value here
"""


def test_a_page() -> None:
    found = read(PAGE)
    assert found.counters == {
        "http_requests_total": 12.0,
        "jobs_total": 3.0,
        "took_seconds_sum": 1.5,
        "took_seconds_count": 6.0,
        "spread_sum": 9.0,
        "spread_count": 3.0,
    }
    assert found.gauges == {"queue": 4.5, "untyped_one": 1000.0}


def test_nobody_fills_our_memory() -> None:
    found = read("\n".join(f"name{number} 1" for number in range(2 * NAMES_MAX)))
    assert len(found.gauges) == NAMES_MAX


@given(st.text())
def test_any_text_is_read(page: str) -> None:
    read(page)


@given(
    st.dictionaries(st.text(), st.text(), max_size=3).map(
        lambda found: {f"l{i}": v for i, v in enumerate(found.values())}
    )
)
def test_what_we_write_is_read(labels: dict[str, str]) -> None:
    families = [
        Family("asked_total", "counter", "Asked.", [Sample(labels, 2), Sample({}, 3)]),
        Family("took", "histogram", "Took.", histogram(labels, (0.1, 1.0), (1, 2, 3), 4.5)),
    ]
    found = read(text(families).decode())
    assert found.counters == {"asked_total": 5.0, "took_sum": 4.5, "took_count": 6.0}
