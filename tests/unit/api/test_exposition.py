"""Prometheus' text format: escaping, order, histograms, numbers."""

from __future__ import annotations

from wherry.api.exposition import Family, Sample, histogram, process, text


def test_text() -> None:
    families = [
        Family("b_total", "counter", "Two\nlines.", [Sample({"z": 'say "hi"\\', "a": "x\ny"}, 3.0)]),
        Family("a", "gauge", "One.", [Sample({}, 0.25, at=1.5)]),
        Family("empty", "gauge", "Nothing to say."),
    ]
    assert text(families).decode() == (
        "# HELP a One.\n# TYPE a gauge\na 0.25 1500\n"
        '# HELP b_total Two\\nlines.\n# TYPE b_total counter\nb_total{a="x\\ny",z="say \\"hi\\"\\\\"} 3\n'
    )
    assert text([]) == b""


def test_a_histogram_counts_up() -> None:
    samples = histogram({"verb": "GET"}, (0.1, 1), (2, 0, 3), 7.5)
    assert text([Family("took", "histogram", "t", samples)]).decode().splitlines()[2:] == [
        'took_bucket{verb="GET",le="0.1"} 2',
        'took_bucket{verb="GET",le="1"} 2',
        'took_bucket{verb="GET",le="+Inf"} 5',
        'took_sum{verb="GET"} 7.5',
        'took_count{verb="GET"} 5',
    ]


def test_a_process_says_what_it_uses() -> None:
    values = {family.name: family.samples[0].value for family in process()}
    assert values["process_resident_memory_bytes"] > 1 << 20
    assert 0 < values["process_open_fds"] < values["process_max_fds"]
    assert values["process_start_time_seconds"] > 1e9
