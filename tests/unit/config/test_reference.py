"""The reference of keys says what there is."""

from tests.reference import PAGE, reference, renewed


def test_the_page_has_the_keys_of_the_model():
    page = PAGE.read_text()

    assert renewed(page) == page, "python -m tests.reference"
    assert reference() in page
