"""What errors of stores mean, by the words that clients and servers use."""

import pytest

from transports.errors import ConnectionLost, ObjectNotFound, OutOfSpace, Refused
from transports.store.object.failure import failure
from transports.store.rclone.daemon import Reply
from transports.store.rclone.failure import failure as rclone_failure


def answer(status, code="", message=""):
    """As obstore writes it; the address is signed, as those of Azure are."""
    return (
        "Generic S3 error: Error performing PUT https://host/b/x?sig=SIGNATURE in 2ms - Server"
        f" returned non-2xx status code: {status} Words: <Error><Code>{code}</Code>"
        f"<Message>{message}</Message></Error>\n\nDebug source:\nGeneric {{ … }}"
    )


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (answer(503, "SlowDown", "Reduce your rate."), ConnectionLost, "503 SlowDown: Reduce"),
        (answer(500), ConnectionLost, "500"),
        (answer(502), ConnectionLost, "502"),
        (answer(429), ConnectionLost, "429"),
        (answer(408), ConnectionLost, "408"),
        (answer(400, "RequestTimeout", "idle"), ConnectionLost, "RequestTimeout"),
        (answer(400, "AuthorizationHeaderMalformed", "expecting 'x'"), Refused, "expecting 'x'"),
        (answer(301, "PermanentRedirect"), Refused, "301"),
        (answer(401), Refused, "401"),
        (answer(403, "AccessDenied", "Access Denied."), Refused, "403 AccessDenied: Access Denied"),
        (answer(403, "InvalidAccessKeyId"), Refused, "InvalidAccessKeyId"),
        (answer(403, "RequestTimeTooSkewed"), Refused, "RequestTimeTooSkewed"),
        (answer(404, "NoSuchBucket"), Refused, "no such bucket"),
        (answer(501, "NotImplemented"), Refused, "501"),
        (answer(507), OutOfSpace, "507"),
        (answer(403, "QuotaExceeded", "full"), OutOfSpace, "QuotaExceeded"),
        ('HTTP error: error sending request\n message: "Connection refused"', ConnectionLost,
         "Connection refused"),
        ("HTTP error: error sending request\n source: TimedOut", ConnectionLost, "no answer"),
        ("HTTP error: request or response body error", ConnectionLost, "middle of an answer"),
        ("Custom {\n error: InvalidCertificate(\n UnknownIssuer,", Refused, "not trusted"),
        ("error: InvalidCertificate(\n Other(\n OtherError(\n CaUsedAsEndEntity,", Refused,
         "certificate of an authority"),
        ("error: InvalidCertificate(\n NotValidForNameContext {", Refused, "for another name"),
        ("Received redirect without LOCATION\n inner: BareRedirect,", Refused, "sends elsewhere"),
        ("Custom {\n kind: InvalidData,\n error: InvalidMessage(\n InvalidContentType,", Refused,
         "does not speak TLS"),
        ('Connect,\n error: "failed to lookup address information: Name or service not known",',
         Refused, "no host of that name"),
        ('Connect,\n error: "failed to lookup address information: Temporary failure in name'
         ' resolution",', ConnectionLost, "Temporary failure in name"),
        ("Error performing PUT http://169.254.169.254/latest/api/token in 1s - HTTP error: x",
         Refused, "no credentials"),
        ("Generic S3 error: Unable to extract metadata from headers: ETag Header missing from"
         " response", Refused, "no object store"),
    ],
)  # fmt: skip
def test_an_error_of_the_client_says_whether_to_try_again(text, kind, said):
    error = failure(RuntimeError(text), "store packs/a in s3://b", answered=False)

    assert type(error) is kind
    assert str(error).startswith("cannot store packs/a in s3://b: ")
    assert said in str(error)
    assert "SIGNATURE" not in f"{error} {error.hint}"
    assert "\n" not in str(error)


def test_an_object_that_is_not_there_is_that():
    error = failure(FileNotFoundError(answer(404, "NoSuchKey")), "read x", answered=True)

    assert type(error) is ObjectNotFound


@pytest.mark.parametrize(
    ("scheme", "said"), [("s3", "AWS_ACCESS"), ("gs", "GOOGLE_"), ("az", "AZURE_")]
)
def test_missing_credentials_are_those_of_the_service(scheme, said):
    text = "Error performing PUT http://169.254.169.254/latest/api/token in 1s - HTTP error: x"

    refused = failure(RuntimeError(text), "read x", answered=False, scheme=scheme)

    assert said in str(refused.hint)


def test_credentials_that_were_there_before_are_worth_another_try():
    text = "Error performing PUT http://169.254.169.254/latest/api/token in 1s - HTTP error: x"

    assert type(failure(RuntimeError(text), "read x", answered=True)) is ConnectionLost


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_says_which_rights_are_needed(status):
    error = failure(RuntimeError(answer(status)), "store x", answered=True)

    assert "to list, to read and to put" in str(error.hint)


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (500, "didn't find section in config file", Refused),
        (500, "AccessDenied: Access Denied", Refused),
        (500, "open /x: permission denied", Refused),
        (500, "write /x: no space left on device", OutOfSpace),
        (500, "googleapi: Error 403: quota exceeded", OutOfSpace),
        (404, "object not found", ObjectNotFound),
        (500, "dial tcp: connection refused", ConnectionLost),
        (500, "unexpected EOF", ConnectionLost),
    ],
)
def test_an_error_of_rclone_says_whether_to_try_again(status, words, kind):
    reply = Reply(status, {}, b'{"error": "%s"}' % words.encode())

    error = rclone_failure(reply, "store packs/a in rclone:x:y")

    assert type(error) is kind
    assert str(error) == f"cannot store packs/a in rclone:x:y: rclone says: {words}"


def test_an_answer_that_is_none_of_rclone_is_shown_by_its_status():
    assert "status 502" in str(rclone_failure(Reply(502, {}, b"<html>"), "read x"))
