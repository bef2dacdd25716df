"""An error of a library's becomes one line; a mistake of the package's own stays as it is."""

from mnist_cnn import errors

LIBRARY = """
def inner():
    raise OSError("no space\\nleft")

def outer():
    try:
        inner()
    except OSError as error:
        return error
"""


def raised_in(filename: str) -> OSError:
    names: dict[str, object] = {}
    exec(compile(LIBRARY, filename, "exec"), names)
    return names["outer"]()  # type: ignore[operator]


def test_an_error_of_a_library_becomes_one_line():
    told = errors.foreign(raised_in("/usr/lib/python3/site-packages/lib/x.py"), "nothing to resume")
    assert str(told) == "OSError: no space (the whole traceback is in train.log); nothing to resume"


def test_a_mistake_of_ours_is_not_explained_away():
    assert errors.foreign(raised_in(str(errors.PACKAGE / "x.py")), "nothing to resume") is None
