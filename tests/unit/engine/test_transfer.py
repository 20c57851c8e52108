"""What engines tell of layers becomes progress that only goes forward."""

from backup.engine.transfer import Transfer
from backup.report import Advanced

DIGEST = "sha256:" + "0a" * 32


def moving(status, layer, current):
    return {"status": status, "id": layer, "progressDetail": {"current": current, "total": 99}}


def fed(*messages):
    transfer = Transfer()
    events = [event for message in messages for event in transfer.feed(message)]
    return transfer, events


def test_bytes_are_counted_by_layer():
    transfer, events = fed(
        moving("Pushing", "a", 10), moving("Pushing", "b", 5), moving("Pushing", "a", 30)
    )

    assert events == [Advanced(10, 0), Advanced(5, 0), Advanced(20, 0)]
    assert transfer.size == 35


def test_unpacking_moves_no_bytes():
    transfer, events = fed(moving("Downloading", "a", 10), moving("Extracting", "a", 50))

    assert (transfer.size, len(events)) == (10, 1)


def test_a_transfer_that_begins_anew_moves_its_bytes_again():
    transfer, events = fed(*(moving("Pushing", "a", at) for at in (10, 2, 10)))

    assert transfer.size == 18
    assert all(event.size > 0 for event in events)


def test_a_layer_is_done_once():
    transfer, events = fed(
        {"status": "Pushed", "id": "a"},
        {"status": "Layer already exists", "id": "b"},
        {"status": "Mounted from team/app", "id": "c"},
        {"status": "Pushed", "id": "a"},
        {"status": "Pull complete", "id": "d", "progressDetail": {"hidecounts": True}},
        {"status": "Waiting", "id": "e"},
    )

    assert (transfer.moved, transfer.there) == (2, 2)
    assert events == [Advanced(0, 1)] * 4


def test_the_digest_is_told_in_three_ways():
    told = [
        {"status": f"v1: digest: {DIGEST} size: 405"},
        {"status": f"Digest: {DIGEST}"},
        {"aux": {"Tag": "v1", "Digest": DIGEST, "Size": 527}},
    ]

    assert [fed(message)[0].digest for message in told] == [DIGEST] * 3
    assert fed({"status": "Pulling from digest: nothing"})[0].digest is None
