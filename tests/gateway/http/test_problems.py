"""Problems as answers."""

from gateway.http.problems import HttpError, Problem, bad_gateway, bad_request, plain_answer

PROBLEM = Problem(503, "Too busy", "So it is.", "Wait.", (("Retry-After", "5"),))


def test_a_problem_is_one_line_for_people() -> None:
    assert str(PROBLEM) == "Too busy: So it is. Wait."


def test_a_plain_answer_is_a_complete_response() -> None:
    head, _, body = plain_answer(PROBLEM).partition(b"\r\n\r\n")
    assert body == b"Too busy\nSo it is.\nWait.\n"
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 503 Service Unavailable", b"Content-Type: text/plain; charset=utf-8", b"Content-Length: %d" % len(body),
        b"Cache-Control: no-store", b"Retry-After: 5", b"Connection: close",
    ]  # fmt: skip


def test_an_answer_to_head_has_no_body_and_may_leave_the_connection_open() -> None:
    answer = plain_answer(PROBLEM, close=False, head_only=True)
    assert answer.endswith(b"\r\n\r\n")
    assert b"Connection" not in answer


def test_errors_name_the_guilty_side() -> None:
    assert isinstance(bad_request("x"), HttpError)
    assert bad_request("x").problem.status == 400
    assert bad_request("x", status=431).problem.what == "Request Header Fields Too Large"
    assert bad_gateway("x").problem.status == 502
